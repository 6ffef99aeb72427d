"""What the pods run, run for real: the init container's command, then tritonserver with the very arguments rendered.

Only ports and the folders of volumes are others; the tritonserver is that of `serving`, and takes its backends from its
own place. The kubelet's part, probes, hook and signal, is played by the tests.
"""

import base64
import contextlib
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from serving.install import Installation
from serving.lifetime import start_process
from serving.server import Ports, free_ports, stop
from tests.helm.helm_chart import Object, container, find_helm, merged, named, render
from tests.helm.pod_process import command_of, process_environment
from tests.helm.value_cases import LEAST

pytestmark = pytest.mark.end_to_end

SECRETS = {"TRITON_ADMIN_KEY": "k3y"}
THREE = {"sign_classifier": 1, "sign_detector": 1, "sign_recognizer": 1}
BATCH = 64  # crops of the largest request that the classifier takes


@dataclass(frozen=True)
class Pod:
    """A tritonserver that was started as its container is.

    Attributes:
        objects: of the release.
        each: the container.
        process: of tritonserver.
        ports: where it listens.
        log: what it prints.
        folder: its volumes.
        host: where it is asked.
    """

    objects: list[Object]
    each: Object
    process: "subprocess.Popen[bytes]"
    ports: Ports
    log: Path
    folder: Path
    host: str = "127.0.0.1"

    def probe(self, name: str) -> int:
        """Returns the HTTP status that a probe of the container gets; 0 where nothing answers."""
        get = self.each[name]["httpGet"]
        assert get["port"] == "http"
        return self.ask(get["path"])[0]

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
        """Returns status and text of an answer over HTTP; 0 where nothing answers."""
        named_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://{self.host}:{self.ports.http}{path}", data, named_headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


def rendered_with(values: dict[str, Any]) -> list[Object]:
    # Two servers on one machine must not share the names of their Python models' memory.
    prefix = f"--backend-config=python,shm-region-prefix-name=chart-{os.getpid()}-{time.monotonic_ns()}-"
    # There is no GPU here, so the configuration is the one for CPUs.
    own = {"triton": {"extraArgs": [prefix], "configuration": "cpu-2"}}
    return render(find_helm("helm"), merged(merged(LEAST, own), values))


def pull_models(objects: list[Object], source: Path, folder: Path) -> None:
    """Does the init container's work."""
    each = container(named(objects, "Deployment", "-triton")["spec"]["template"], "pull-models")
    (folder / "models").mkdir()
    places = {"/source": source, "/models": folder / "models"}
    subprocess.run(command_of(each, places), env=process_environment(each, folder), check=True, capture_output=True)


def places_of(ports: Ports, folder: Path) -> dict[str, object]:
    return {"8000": ports.http, "8001": ports.grpc, "8002": ports.metrics, "/models": folder / "models"}


@contextlib.contextmanager
def started(objects: list[Object], installation: Installation, folder: Path, host: str = Pod.host) -> Iterator[Pod]:
    """Starts the container tritonserver on /models in `folder`; gives it as it is, ready or not."""
    each = container(named(objects, "Deployment", "-triton")["spec"]["template"], "tritonserver")
    ports = free_ports()
    _, *arguments = command_of(each, places_of(ports, folder), SECRETS)
    log = folder / "log"
    command = [str(installation.binary), *installation.arguments, *arguments]
    environment = {**process_environment(each, folder, SECRETS), **installation.environment}
    process = start_process(command, log, environment)
    try:
        yield Pod(objects, each, process, ports, log, folder, host)
    finally:
        stop(process)


def wait_until_ready(pod: Pod) -> None:
    """Does what the startup probe does, only more often."""
    deadline = time.monotonic() + 200
    while pod.probe("startupProbe") != 200:
        assert pod.process.poll() is None, pod.log.read_text()
        assert time.monotonic() < deadline, pod.log.read_text()
        time.sleep(0.1)


def metrics_of(pod: Pod) -> str:
    """Returns its metrics; Triton opens their port a little later than the others."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://{pod.host}:{pod.ports.metrics}/metrics", timeout=60) as response:
                text: str = response.read().decode()
                return text
        except urllib.error.URLError:
            assert time.monotonic() < deadline, pod.log.read_text()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def pod(installation: Installation, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """With the three models, traces to where nobody listens, and connections that live for a second."""
    tracing = {"enabled": True, "url": "http://127.0.0.1:9/v1/traces", "attributes": {"deployment.environment": "test"}}
    triton = {"tracing": tracing, "grpcConnectionAgeSeconds": 1}
    objects = rendered_with({"models": {"versions": THREE}, "triton": triton})
    folder = tmp_path_factory.mktemp("pod")
    pull_models(objects, source, folder)
    with started(objects, installation, folder) as pod:
        wait_until_ready(pod)
        yield pod


def crops(count: int) -> list[Any]:
    tensor = grpc.InferInput("images", [count, 48, 48, 3], "UINT8")
    tensor.set_data_from_numpy(np.full((count, 48, 48, 3), 127, np.uint8))
    return [tensor]


def test_all_probes_succeed(pod: Pod) -> None:
    assert [pod.probe(f"{name}Probe") for name in ("startup", "readiness", "liveness")] == [200, 200, 200]
    for model in THREE:
        assert pod.ask(f"/v2/models/{model}/versions/1/ready")[0] == 200


def test_metrics_are_where_prometheus_looks(pod: Pod) -> None:
    """With summaries, and with the recognizer's own."""
    text = metrics_of(pod)
    assert all(f"{name}{{" in text for name in ("nv_inference_queue_duration_us", "nv_inference_request_summary_us"))
    assert "sign_recognizer_scenes_total" in text


RESTRICTED = {
    "index": ("/v2/repository/index", b"{}"),
    "load": ("/v2/repository/models/sign_classifier/load", b"{}"),
    "unload": ("/v2/repository/models/sign_classifier/unload", b"{}"),
    "statistics": ("/v2/models/sign_classifier/stats", None),
    "all statistics": ("/v2/models/stats", None),
    "trace": ("/v2/trace/setting", None),
    "change of trace": ("/v2/trace/setting", b'{"trace_level": ["OFF"]}'),
    "trace of a model": ("/v2/models/sign_classifier/trace/setting", None),
    "logging": ("/v2/logging", None),
    "change of logging": ("/v2/logging", b'{"log_verbose_level": 9}'),
    "shared memory": ("/v2/systemsharedmemory/status", None),
    "CUDA shared memory": ("/v2/cudasharedmemory/status", None),
}


@pytest.mark.parametrize("what", RESTRICTED)
def test_administration_wants_the_key_over_http(what: str, pod: Pod) -> None:
    path, data = RESTRICTED[what]
    assert pod.ask(path, data)[0] == 403
    assert pod.ask(path, data, triton_admin_key="guessed")[0] == 403
    if what in ("index", "statistics", "trace", "logging"):
        assert pod.ask(path, data, triton_admin_key="k3y")[0] == 200


def test_administration_wants_the_key_over_grpc(pod: Pod) -> None:
    with grpc.InferenceServerClient(f"127.0.0.1:{pod.ports.grpc}") as client:
        calls = {
            "index": client.get_model_repository_index,
            "load": lambda **more: client.load_model("sign_classifier", **more),
            "unload": lambda **more: client.unload_model("sign_classifier", **more),
            "statistics": client.get_inference_statistics,
            "trace": client.get_trace_settings,
            "logging": client.get_log_settings,
            "shared memory": client.get_system_shared_memory_status,
        }
        for name, call in calls.items():
            for headers in ({}, {"triton-grpc-protocol-admin-key": "guessed"}):
                with pytest.raises(InferenceServerException, match="restricted"):
                    call(headers=headers)
            if name not in ("load", "unload", "shared memory"):
                call(headers={"triton-grpc-protocol-admin-key": "k3y"})


def test_nothing_is_loaded_even_with_the_key(pod: Pod) -> None:
    """So no failed load can make a server unready that serves: the readiness probe is right."""
    status, text = pod.ask("/v2/repository/models/sign_classifier/load", b"{}", triton_admin_key="k3y")
    assert status == 503 and "not allowed" in text
    assert pod.probe("readinessProbe") == 200


def test_inference_health_and_metadata_are_open(pod: Pod) -> None:
    for path in ("/v2", "/v2/health/live", "/v2/models/sign_classifier", "/v2/models/sign_classifier/config"):
        assert pod.ask(path)[0] == 200, path
    with grpc.InferenceServerClient(f"127.0.0.1:{pod.ports.grpc}") as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.get_server_metadata().version
        assert client.infer("sign_classifier", crops(1)).as_numpy("probabilities").shape == (1, 43)


@pytest.mark.parametrize("models", ["recognizer", "classifier"])
def test_the_test_of_the_release_succeeds(models: str, pod: Pod, tmp_path: Path) -> None:
    """`helm test`: its containers' commands, with the picture out of its ConfigMap, through gRPC and HTTP."""
    objects = pod.objects if models == "recognizer" else rendered_with({})
    picture = named(objects, "ConfigMap", "-test-picture")["binaryData"]
    (tmp_path / "sign.png").write_bytes(base64.b64decode(picture["sign.png"]))
    service = named(objects, "Service", "-triton")
    host = f"{service['metadata']['name']}.signs.svc"
    running = []
    for protocol in ("grpc", "http"):
        port = {each["name"]: each["port"] for each in service["spec"]["ports"]}[protocol]
        here = pod.ports.grpc if protocol == "grpc" else pod.ports.http
        each = container(named(objects, "Pod", f"-test-{protocol}"), "predict")
        command = command_of(each, {"/images": tmp_path, f"{host}:{port}": f"127.0.0.1:{here}"})
        environment = process_environment(each, tmp_path)
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    for process in running:
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors.decode()
        (answer,) = json.loads(output)
        if models == "classifier":
            assert answer["predictions"][0]["name"] == "stop"
        else:
            assert isinstance(answer["signs"], list)


def test_clients_reconnect_without_losing_a_request(pod: Pod) -> None:
    """Connections are asked to end every second here; three clients send for three seconds."""
    answered, lost = [0], []

    def ask() -> None:
        with grpc.InferenceServerClient(f"127.0.0.1:{pod.ports.grpc}") as client:
            until = time.monotonic() + 3
            while time.monotonic() < until:
                try:
                    client.infer("sign_classifier", crops(1))
                    answered[0] += 1
                except InferenceServerException as error:
                    lost.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
    assert answered[0] > 3


def test_a_pod_that_ends_loses_no_request(installation: Installation, source: Path, tmp_path: Path) -> None:
    """The hook runs while requests still come; then Triton gets SIGTERM, and answers what it has taken."""
    objects = rendered_with({"triton": {"drain": {"timeoutSeconds": 60}}})
    pull_models(objects, source, tmp_path)
    with started(objects, installation, tmp_path) as pod, contextlib.ExitStack() as stack:
        wait_until_ready(pod)
        client = stack.enter_context(grpc.InferenceServerClient(f"127.0.0.1:{pod.ports.grpc}"))
        program, _ = pod.each["lifecycle"]["preStop"]["exec"]["command"]
        hook = subprocess.Popen([program, "1"])  # the drain itself is longer
        during = 0
        while hook.poll() is None:  # the proxies have not noticed yet
            client.infer("sign_classifier", crops(1))
            during += 1
        assert hook.returncode == 0 and during

        answers: list[npt.NDArray[np.float32] | None] = []

        def take(result: Any, error: Any) -> None:
            answers.append(None if error else result.as_numpy("probabilities"))

        for _ in range(8):
            client.async_infer("sign_classifier", crops(BATCH), take)
        # All have come in once those that wait or are answered are all but the one that is worked on.
        while waiting(pod) + len(answers) < 7:
            time.sleep(0.02)
        pod.process.terminate()
        assert pod.process.wait(90) == 0
        deadline = time.monotonic() + 60
        while len(answers) < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [each.shape for each in answers if each is not None] == [(BATCH, 43)] * 8


def waiting(pod: Pod) -> float:
    """Returns the requests in Triton's queues."""
    with urllib.request.urlopen(f"http://127.0.0.1:{pod.ports.metrics}/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("nv_inference_pending_request_count{"))


def test_where_pods_have_ipv6_alone_it_is_asked_by_that(
    installation: Installation, source: Path, tmp_path: Path
) -> None:
    objects = rendered_with({"ipFamily": "IPv6"})
    pull_models(objects, source, tmp_path)
    with started(objects, installation, tmp_path, "[::1]") as pod:
        wait_until_ready(pod)
        assert "nv_inference" in metrics_of(pod)
        with grpc.InferenceServerClient(f"[::1]:{pod.ports.grpc}") as client:
            assert client.infer("sign_classifier", crops(1)).as_numpy("probabilities").shape == (1, 43)


def test_a_version_that_cannot_be_loaded_ends_the_start(
    installation: Installation, source: Path, tmp_path: Path
) -> None:
    """Its pod is never ready, and with maxUnavailable 0 the update stops there. So does the engine builder."""
    objects = rendered_with({"engineBuilder": {"enabled": True}})
    pull_models(objects, source, tmp_path)
    (tmp_path / "models" / "sign_classifier" / "1" / "model.onnx").write_bytes(b"no model")
    with started(objects, installation, tmp_path) as pod:
        assert pod.process.wait(200) == 1
        assert "failed to load 'sign_classifier'" in pod.log.read_text()
    done = build_engines(objects, installation, tmp_path)
    assert done.returncode == 1
    assert "build-engines: tritonserver ended with 1" in done.stderr


def test_the_engine_builder_ends_when_all_is_loaded(installation: Installation, source: Path, tmp_path: Path) -> None:
    """There is no TensorRT here: what is tested is that it starts the server, waits for it, and stops it in order."""
    objects = rendered_with({"engineBuilder": {"enabled": True}})
    pull_models(objects, source, tmp_path)
    done = build_engines(objects, installation, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"build-engines: the engines are in {tmp_path / 'engines'}"


def build_engines(
    objects: list[Object], installation: Installation, folder: Path
) -> "subprocess.CompletedProcess[str]":
    """Runs the init container build-engines; the tritonserver that it finds on the PATH is ours, with its backends."""
    each = container(named(objects, "Deployment", "-triton")["spec"]["template"], "build-engines")
    (folder / "engines").mkdir(exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    wrapper = folder / "bin" / "tritonserver"
    wrapper.write_text(f'#!/bin/sh\nexec "{installation.binary}" {" ".join(installation.arguments)} "$@"\n')
    wrapper.chmod(0o755)
    places = {**places_of(free_ports(), folder), "/var/cache/tensorrt": folder / "engines"}
    environment = {**process_environment(each, folder, SECRETS), **installation.environment}
    environment["PATH"] = f"{folder / 'bin'}:{environment.get('PATH', '')}"
    command = command_of(each, places)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
