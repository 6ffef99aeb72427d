"""A real tritonserver does what config.pbtxt says of queues, threads, warm-up and cache, or says why it cannot."""

import re
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.grpc import model_config_pb2 as pb

from export.config import Serving, to_text
from export.repository import Manifest, publish
from serving.install import Installation
from serving.server import RunningServer, running_server, served_versions
from tests.network_configs import classifier_config
from tests.serving.test_server import children
from traffic_sign_client import SignClient

pytestmark = pytest.mark.end_to_end

# Models that cannot be loaded must not end the server; and there is memory for a cache.
ARGUMENTS = ("--exit-on-error=false", "--strict-readiness=false", "--cache-config=local,size=10000000")
OWN_PARAMETERS = {
    "execution_mode": "1",
    "inter_op_thread_count": "2",
    "enable_mem_pattern": "0",
    "enable_mem_arena": "false",
    "gpu_mem_limit": "1000",
    "memory.enable_memory_arena_shrinkage": "",
    "session.use_device_allocator_for_initializers": "1",
}
SHRINKAGE = "memory.enable_memory_arena_shrinkage"


def with_parameters(**parameters: str) -> pb.ModelConfig:
    config = classifier_config("", 48, 43, Serving(8))
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return config


def with_serving(**choices: Any) -> pb.ModelConfig:
    return classifier_config("", 48, 43, Serving(**{"max_batch": 16, **choices}))


def with_level(level: int) -> pb.ModelConfig:
    config = with_parameters(**OWN_PARAMETERS, intra_op_threads="2", share_session_between_instances="true")
    config.optimization.graph.level = level
    return config


def with_input(name: str = "images", kind: Any = pb.TYPE_UINT8, dims: tuple[int, ...] = (48, 48, 3)) -> pb.ModelConfig:
    config = with_serving()
    config.ClearField("model_warmup")
    config.input[0].CopyFrom(pb.ModelInput(name=name, data_type=kind, dims=dims))
    return config


def with_output(kind: Any = pb.TYPE_FP32, dims: int = 43) -> pb.ModelConfig:
    config = with_input()
    config.output[0].data_type = kind
    config.output[0].dims[:] = [dims]
    return config


def without(tensors: str) -> pb.ModelConfig:
    config = with_input()
    config.ClearField(tensors)
    return config


def without_batches() -> pb.ModelConfig:
    config = with_input()
    config.max_batch_size = 0
    config.ClearField("dynamic_batching")
    return config


def with_accelerator(name: str) -> pb.ModelConfig:
    config = with_serving()
    config.optimization.execution_accelerators.cpu_execution_accelerator.add(name=name)
    return config


GOOD = {
    "short_queue": with_serving(max_queue=16),
    "hasty": with_serving(queue_timeout_ms=1, threads=1),
    "one_thread": with_serving(threads=1),
    "four_threads": with_serving(threads=4, instances=2),
    "cached": with_serving(response_cache=True),
    "all_parameters": with_level(1),
    "unknown_level": with_level(5),
    "odd_numbers": with_parameters(intra_op_thread_count="-1", inter_op_thread_count="1.5", enable_mem_arena="TRUE"),
    "shrinking": with_parameters(**{SHRINKAGE: "cpu:0"}),
}
BAD = {
    "for_gpus": (with_serving(target="gpu"), "kind KIND_GPU but no GPUs are available"),
    "no_threads": (
        with_parameters(intra_op_thread_count="many"),
        "intra_op_thread_count is 'many'",
    ),
    "no_mode": (with_parameters(execution_mode="2"), "execution_mode is '2': give 0 or 1"),
    "no_arena": (with_parameters(enable_mem_arena="yes"), "enable_mem_arena is 'yes': give 0 or 1 or false or true"),
    "openvino": (with_accelerator("openvino"), "unknown Execution Accelerator 'openvino' is requested"),
    "misspelt": (with_accelerator("opnevino"), "unknown Execution Accelerator 'opnevino' is requested"),
    "other_name": (with_input("pictures"), "unexpected inference input 'pictures', allowed inputs are: images"),
    "other_type": (
        with_input(kind=pb.TYPE_FP32),
        "expects datatype TYPE_FP32 for input 'images', model provides TYPE_",
    ),
    "other_shape": (with_input(dims=(32, 32, 3)), "but the model configuration specifies 4 dimensions"),
    "other_rank": (with_input(dims=(48, 48)), "but the model configuration specifies 3 dimensions"),
    "other_answer": (with_output(kind=pb.TYPE_FP16), "expects datatype TYPE_FP16 for output 'probabilities'"),
    "other_length": (with_output(dims=42), "tensor 'probabilities': the model expects 2 dimensions"),
    "open_length": (with_output(dims=-1), "tensor 'probabilities': the model expects 2 dimensions"),
    "no_input": (without("input"), "configuration expects 0 inputs, model provides 1"),
    "no_output": (without("output"), "configuration expects 0 outputs, model provides 1"),
    "no_batches": (without_batches(), "the model expects 4 dimensions"),
    "short_image": (with_serving(), "6912 bytes"),
    # With these the real server ends; they cannot be published, and are written by hand here.
    "fatal_number": (with_parameters(intra_op_thread_count="99999999999"), "beyond 32 bits"),
    "fatal_threads": (with_parameters(inter_op_thread_count="1025"), "give 1024 or less"),
    "fatal_shrinkage": (with_parameters(**{SHRINKAGE: "nonsense"}), "without that arena"),
}


@pytest.fixture(scope="module")
def server(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A real tritonserver on one network, served in many ways; some of them cannot be."""
    folder, place = repository / "sign_classifier" / "1", tmp_path_factory.mktemp("configs") / "models"
    files = {name: (folder / name).read_bytes() for name in ("model.onnx", "warmup/images-48x48x3.bin")}
    for name, config in (*GOOD.items(), *((name, config) for name, (config, _) in BAD.items())):
        config.name = name
        shared = {"config.pbtxt": to_text(with_serving()), "labels.txt": (folder / "labels.txt").read_text()}
        publish(place, name, files, shared, {})
        (place / name / "config.pbtxt").write_text(to_text(config))
    (place / "short_image" / "warmup" / "images-48x48x3.bin").write_bytes(b"short")
    with running_server(installation, place, place.parent / "log", extra_arguments=ARGUMENTS) as running:
        yield running


def send_all_at_once(server: RunningServer, model: str, requests: int) -> "Counter[str]":
    """Sends so many requests of 16 images without waiting for answers; returns how often which answer came."""
    client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
    tensor = tritonclient.grpc.InferInput("images", [16, 48, 48, 3], "UINT8")
    tensor.set_data_from_numpy(np.zeros((16, 48, 48, 3), np.uint8))
    answers: Counter[str] = Counter()
    answered = threading.Semaphore(0)

    def note(result: object, error: Any) -> None:
        answers["answered" if error is None else error.message().rpartition("] ")[2]] += 1
        answered.release()

    for _ in range(requests):
        client.async_infer(model, [tensor], note)
    for _ in range(requests):
        assert answered.acquire(timeout=120), "a request was never answered"
    client.close()
    return answers


def test_what_can_be_served_is_and_what_cannot_says_why(server: RunningServer) -> None:
    assert {name for name, _ in served_versions(server)} == set(GOOD)
    log = server.log.read_text()
    for name, (_, reason) in BAD.items():
        (line,) = re.findall(rf"^.*failed to load '{name}' version 1: .*$", log, re.MULTILINE)
        assert reason in line


def test_a_parameter_that_onnx_runtime_does_not_have_is_reported(server: RunningServer) -> None:
    log = server.log.read_text()
    assert "ONNX Runtime has no parameter intra_op_threads" in log
    assert "ONNX Runtime has no parameter share_session_between_instances" in log
    assert not any(f"no parameter {key}" in log for key in OWN_PARAMETERS)


def test_overload_is_refused_at_once_and_what_fits_is_answered(server: RunningServer) -> None:
    answers = send_all_at_once(server, "short_queue", 400)
    assert set(answers) == {"answered", "Exceeds maximum queue size"}
    assert answers["answered"] >= 16, "a full queue is worked off"
    with SignClient(server.grpc_url, classifier="short_queue") as client:
        assert len(client.probabilities(np.zeros((3, 48, 48, 3), np.uint8))) == 3


def test_who_waits_too_long_is_refused(server: RunningServer) -> None:
    assert set(send_all_at_once(server, "hasty", 200)) == {"answered", "Request timeout expired"}


def test_instances_and_threads_are_as_many_as_asked_for(server: RunningServer) -> None:
    threads: dict[str, list[int]] = {"one_thread": [], "four_threads": []}
    for pid in children(server.process.pid):
        words = Path(f"/proc/{pid}/cmdline").read_text()
        (number,) = re.findall(r"^Threads:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        for name, counts in threads.items():
            if name in words:
                counts.append(int(number))
    (alone,) = threads["one_thread"]
    assert threads["four_threads"] == [alone + 3, alone + 3]


def test_with_a_cache_the_same_input_is_answered_from_memory(server: RunningServer) -> None:
    with SignClient(server.grpc_url, classifier="cached") as client:
        image = np.full((1, 48, 48, 3), 7, np.uint8)
        first, second = client.probabilities(image), client.probabilities(image)
    with urllib.request.urlopen(server.metrics_url) as response:
        metrics = response.read().decode()
    assert (first == second).all()
    assert re.search(r'^nv_cache_num_hits_per_model\{model="cached",version="1"\} 1$', metrics, re.MULTILINE)
