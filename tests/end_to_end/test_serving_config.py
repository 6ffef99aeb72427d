"""A real tritonserver does what config.pbtxt says of queues, threads, warm-up and cache, or says why it cannot."""

import re
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.grpc import model_config_pb2 as pb

from clients import SignClient
from export.config import Serving, classifier_config, to_text
from export.repository import Manifest, publish
from serving.errors import ServingError
from serving.install import Installation
from serving.server import RunningServer, running_server
from tests.serving.test_server import children

pytestmark = pytest.mark.end_to_end

MODEL = "sign_classifier"
Place = Callable[[pb.ModelConfig], Path]


def with_serving(**choices: Any) -> pb.ModelConfig:
    return classifier_config(MODEL, 48, 43, Serving(**{"max_batch": 64, **choices}))


@pytest.fixture
def place(repository: Path, manifest: Manifest, tmp_path: Path) -> Place:
    """Makes a repository of version 1 with another configuration."""

    def make(config: pb.ModelConfig) -> Path:
        folder = repository / MODEL / "1"
        files = {name: (folder / name).read_bytes() for name in ("model.onnx", "warmup/images-48x48x3.bin")}
        shared = {"config.pbtxt": to_text(config), "labels.txt": (folder / "labels.txt").read_text()}
        publish(tmp_path / "models", MODEL, files, shared, {})
        return tmp_path / "models"

    return make


def send_all_at_once(server: RunningServer, requests: int, batch: int) -> "Counter[str]":
    """Sends so many requests without waiting for answers; returns how often which answer came."""
    client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
    tensor = tritonclient.grpc.InferInput("images", [batch, 48, 48, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((batch, 48, 48, 3), np.uint8))
    answers: Counter[str] = Counter()
    answered = threading.Semaphore(0)

    def note(result: object, error: Any) -> None:
        answers["answered" if error is None else error.message().rpartition("] ")[2]] += 1
        answered.release()

    for _ in range(requests):
        client.async_infer(MODEL, [tensor], note)
    for _ in range(requests):
        assert answered.acquire(timeout=120), "a request was never answered"
    client.close()
    return answers


def test_overload_is_refused_and_what_fits_is_answered(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    models = place(with_serving(max_batch=16, max_queue=16, queue_timeout_ms=0))
    with running_server(installation, models, tmp_path / "log") as server:
        answers = send_all_at_once(server, 400, 16)
        with SignClient(server.grpc_url) as client:
            client.probabilities(np.zeros((3, 48, 48, 3), np.uint8))
    assert set(answers) == {"answered", "Exceeds maximum queue size"}
    assert answers["answered"] >= 16, "a full queue is worked off"


def test_who_waits_too_long_is_refused(installation: Installation, place: Place, tmp_path: Path) -> None:
    models = place(with_serving(max_queue=0, queue_timeout_ms=1, instances=1, threads=1))
    with running_server(installation, models, tmp_path / "log") as server:
        answers = send_all_at_once(server, 300, 64)
    assert set(answers) == {"answered", "Request timeout expired"}


def test_instances_and_threads_are_as_many_as_asked_for(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    def threads_of_stubs(**choices: Any) -> list[int]:
        models = place(with_serving(**choices))
        with running_server(installation, models, tmp_path / "log") as server:
            counts = []
            for pid in children(server.process.pid):
                if "stub" in Path(f"/proc/{pid}/cmdline").read_text():
                    status = Path(f"/proc/{pid}/status").read_text()
                    counts += [int(number) for number in re.findall(r"^Threads:\s+(\d+)", status, re.MULTILINE)]
            return counts

    (alone,) = threads_of_stubs(threads=1)
    assert threads_of_stubs(threads=4, instances=2) == [alone + 3, alone + 3]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"intra_op_thread_count": "many"}, "intra_op_thread_count is 'many': give a whole number"),
        ({"execution_mode": "2"}, "execution_mode is '2': give 0 or 1"),
        ({"enable_mem_arena": "yes"}, "enable_mem_arena is 'yes'"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(
    installation: Installation, place: Place, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    config = with_serving()
    for key, value in change.items():
        config.parameters[key].string_value = value
    with (
        pytest.raises(ServingError, match=reason),
        running_server(installation, place(config), tmp_path / "log"),
    ):
        pass


def test_all_parameters_of_the_real_backend_are_taken_and_others_told(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    config = with_serving()
    given = {
        "execution_mode": "1",
        "inter_op_thread_count": "2",
        "enable_mem_pattern": "0",
        "enable_mem_arena": "false",
    }
    for key, value in {**given, "gpu_mem_limit": "1000", "intra_op_threads": "2"}.items():
        config.parameters[key].string_value = value
    config.optimization.graph.level = 1
    with running_server(installation, place(config), tmp_path / "log"):
        pass
    log = (tmp_path / "log").read_text()
    assert "ONNX Runtime has no parameter intra_op_threads" in log
    assert not any(f"no parameter {key}" in log for key in (*given, "gpu_mem_limit"))


def test_a_warm_up_image_that_is_too_small_keeps_the_model_away(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    models = place(with_serving())
    (models / MODEL / "warmup" / "images-48x48x3.bin").write_bytes(b"short")
    with pytest.raises(ServingError, match="warmup"), running_server(installation, models, tmp_path / "log"):
        pass


def test_a_model_for_gpus_does_not_run_on_the_cpu_unseen(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    models = place(with_serving(target="gpu"))
    with (
        pytest.raises(ServingError, match=r"kind KIND_GPU but no GPUs are available"),
        running_server(installation, models, tmp_path / "log"),
    ):
        pass


def test_with_a_cache_the_same_input_is_answered_from_memory(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    models = place(with_serving(response_cache=True))
    cache = ("--cache-config=local,size=10000000",)
    with (
        running_server(installation, models, tmp_path / "log", extra_arguments=cache) as server,
        SignClient(server.grpc_url) as client,
    ):
        image = np.full((1, 48, 48, 3), 7, np.uint8)
        first, second = client.probabilities(image), client.probabilities(image)
        with urllib.request.urlopen(server.metrics_url) as response:
            metrics = response.read().decode()
    assert (first == second).all()
    assert re.search(r"^nv_cache_num_hits_per_model\S* 1$", metrics, re.MULTILINE), "the second came from memory"
