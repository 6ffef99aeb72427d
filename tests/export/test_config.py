"""config.pbtxt: typed, through protobuf both ways, and every choice with a reason."""

import re
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from export.config import (
    Serving,
    network_config,
    profile,
    recognizer_config,
    target_of,
    to_text,
    warm_up_path,
)
from export.errors import ExportError, RepositoryError
from export.explanation import explain
from export.kinds import DETECTOR
from export.repository.policy import read_config
from export.settings import Target
from tests.network_configs import classifier_config

TENSORRT = Serving(64, target="gpu", tensorrt=True)


@pytest.mark.parametrize(
    "config",
    [
        classifier_config("sign_classifier", 48, 43, Serving(64)),
        classifier_config("sign_classifier", 48, 43, Serving(8, threads=2, instances=3, response_cache=True)),
        classifier_config("sign_classifier", 48, 43, Serving(8, max_queue=100, queue_timeout_ms=30)),
        classifier_config("sign_classifier", 48, 43, TENSORRT),
        network_config(DETECTOR, (800, 1360), 4, Serving(4, target="cpu")),
        recognizer_config("sign_recognizer", 0.25, Serving(8)),
    ],
)
def test_what_is_written_is_what_is_read_and_every_choice_has_its_reason(config: pb.ModelConfig) -> None:
    assert read_config(to_text(config).encode(), "") == config
    choices = explain(config)
    assert all(choice.why and "\n" not in choice.why and "Triton's manual" not in choice.why for choice in choices)
    reported = " ".join(f"{choice.name} {choice.value} {choice.why}" for choice in choices)
    for number in re.findall(r": (\d\d+)$", to_text(config), flags=re.MULTILINE):
        assert number in reported, "a number in the file that nobody explains"


def test_says_what_triton_needs() -> None:
    config = classifier_config("sign_classifier", 48, 43, Serving(64, queue_delay_us=123, instances=2))
    assert config.platform == "onnxruntime_onnx"
    assert config.max_batch_size == 64
    assert list(config.input[0].dims) == [48, 48, 3]
    assert list(config.output[0].dims) == [43]
    assert config.output[0].label_filename == "labels.txt"
    assert config.dynamic_batching.max_queue_delay_microseconds == 123
    assert config.instance_group[0].count == 2
    assert config.version_policy.latest.num_versions == 1
    assert [warm_up.batch_size for warm_up in config.model_warmup] == [1, 64]
    files = {warm_up.inputs["images"].input_data_file for warm_up in config.model_warmup}
    assert files == {"images-48x48x3.bin"} and warm_up_path(config) == "warmup/images-48x48x3.bin"
    assert not config.HasField("optimization") and not config.HasField("response_cache")
    assert not config.dynamic_batching.HasField("default_queue_policy"), "any policy makes Triton stall: server 8870"


@pytest.mark.parametrize(("max_queue", "timeout_ms"), [(100, 0), (0, 1500), (100, 1500)])
def test_overload_is_answered_quickly_where_that_is_asked_for(max_queue: int, timeout_ms: int) -> None:
    serving = Serving(8, queue_timeout_ms=timeout_ms, max_queue=max_queue)
    policy = classifier_config("sign_classifier", 48, 43, serving).dynamic_batching.default_queue_policy
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert (policy.default_timeout_microseconds, policy.max_queue_size) == (1000 * timeout_ms, max_queue)
    assert policy.allow_timeout_override


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("auto", pb.ModelInstanceGroup.KIND_CPU),  # it has another configuration for GPUs
        ("cpu", pb.ModelInstanceGroup.KIND_CPU),
        ("gpu", pb.ModelInstanceGroup.KIND_GPU),
    ],
)
def test_instances_run_on_the_target(target: Target, kind: int) -> None:
    config = classifier_config("sign_classifier", 48, 43, Serving(8, target=target))
    assert config.instance_group[0].kind == kind
    assert target_of(config) == ("gpu" if target == "gpu" else "cpu")
    config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_AUTO  # of an earlier release
    assert target_of(config) == "auto"


def test_the_file_for_gpus_is_served_without_tensorfloat() -> None:
    config = classifier_config("sign_classifier", 48, 43, Serving(64, target="gpu", fixed_batches=(8, 64)))
    assert config.default_model_filename == "model.gpu.onnx"
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "cuda" and dict(accelerator.parameters) == {"use_tf32": "0"}
    with pytest.raises(ExportError, match="max_batch is 65, and the batch of the file for GPUs is fixed at 64"):
        Serving(65, target="gpu", fixed_batches=(8, 64))


def test_on_a_gpu_onnx_runtime_hands_over_to_tensorrt() -> None:
    config = classifier_config("sign_classifier", 48, 43, TENSORRT)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert dict(accelerator.parameters) == {
        "max_workspace_size_bytes": "1073741824",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/tmp/tensorrt",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "/tmp/tensorrt",
        "trt_profile_min_shapes": "images:1x48x48x3",
        "trt_profile_opt_shapes": "images:64x48x48x3",
        "trt_profile_max_shapes": "images:64x48x48x3",
    }, "no precision_mode: in TensorRT 11 the precision stands in the graph"


def test_the_profile_names_every_input() -> None:
    config = pb.ModelConfig(
        max_batch_size=4, input=[pb.ModelInput(name="a", dims=[2, 3]), pb.ModelInput(name="b", dims=[5])]
    )
    assert profile(config) == {"min": "a:1x2x3,b:1x5", "opt": "a:4x2x3,b:4x5", "max": "a:4x2x3,b:4x5"}


def test_threads_are_left_to_onnx_runtime_unless_given() -> None:
    assert not classifier_config("sign_classifier", 48, 43, Serving(8)).parameters
    config = classifier_config("sign_classifier", 48, 43, Serving(8, threads=3))
    assert config.parameters["intra_op_thread_count"].string_value == "3"


def test_the_recognizer_is_scheduled_too_and_not_warmed_up() -> None:
    serving = Serving(8, queue_delay_us=50, instances=3, target="cpu")
    config = recognizer_config("sign_recognizer", 0.25, serving, 0.5)
    assert (config.backend, config.max_batch_size, config.instance_group[0].count) == ("python", 8, 3)
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "score_threshold": "0.25",
        "unknown_threshold": "0.5",
        "detector_version": "latest",
        "classifier_version": "latest",
    }
    assert config.dynamic_batching.max_queue_delay_microseconds == 50
    assert not config.dynamic_batching.HasField("default_queue_policy")
    assert not config.model_warmup


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"max_batch": 0}, "max_batch is 0: give 1 or more"),
        ({"max_batch": 8, "instances": 0}, "instances is 0"),
        ({"max_batch": 8, "queue_delay_us": -1}, "queue_delay_us is -1: give 0 or more"),
        ({"max_batch": 8, "threads": -2}, "threads is -2"),
        ({"max_batch": 8, "max_queue": 2**32}, "max_queue is 4294967296: give 2147483647 or less"),
        ({"max_batch": 8, "max_queue": 4}, "a batch of 8 would never fill"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        Serving(**values)


def test_nonsense_is_refused() -> None:
    with pytest.raises(RepositoryError, match="cannot be read"):
        read_config(b"max_batch_size: many", "config.pbtxt")


def test_what_was_set_by_hand_is_reported_with_a_hint_to_the_manual() -> None:
    config = classifier_config("sign_classifier", 48, 43, Serving(8))
    config.default_model_filename = "other.onnx"
    config.optimization.graph.level = 1
    config.dynamic_batching.preserve_ordering = True
    config.parameters["mine"].string_value = "7"
    reported = {choice.name: choice for choice in explain(config)}
    for name in (
        "default_model_filename",
        "optimization.graph",
        "dynamic_batching.preserve_ordering",
        "parameters.mine",
    ):
        assert "Triton's manual" in reported[name].why


def test_without_a_queue_policy_it_says_why() -> None:
    reported = {choice.name: choice for choice in explain(read_config(b"dynamic_batching { }", ""))}
    assert "issue 8870" in reported["dynamic_batching.default_queue_policy"].why
