"""config.pbtxt: how Triton serves a model, typed, and built through Triton's own protobuf messages.

The keys of ONNX Runtime and of its TensorRT provider are those of the README of Triton's onnxruntime_backend.
`export.explanation` has the reason of each choice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from export.errors import ExportError
from export.model_kind import ModelKind, TensorSpec
from export.repository.configuration import ONNX, TENSORRT
from export.repository.manifest import GPU_FILE, INT8_FILE, LABELS_FILE
from export.repository.policy import WARM_UP, to_bytes
from export.settings import Target
from traffic_sign_client.client import CATEGORIES

ENGINE = "tensorrt_plan"
THREADS = "intra_op_thread_count"
CUDA = "cuda"

KINDS = {
    # A file for CPUs must not run on a GPU; `auto` has another configuration there.
    "auto": pb.ModelInstanceGroup.KIND_CPU,
    "cpu": pb.ModelInstanceGroup.KIND_CPU,
    "gpu": pb.ModelInstanceGroup.KIND_GPU,
}
WORKSPACE_BYTES = 1 << 30
ENGINE_CACHE = "/tmp/tensorrt"  # of the server
MOST = 2**31 - 1  # what every number of Triton's configuration can hold


@dataclass(frozen=True)
class Serving:
    """How Triton runs a model, as far as it is a choice; raises ExportError if a value is out of range."""

    max_batch: int  # largest batch that Triton may form out of waiting requests
    # Batch that Triton forms as soon as so many images wait, before any larger one; 0: none. An instance that takes all
    # that waits leaves the others without work.
    preferred_batch: int = 0
    queue_delay_us: int = 200  # microseconds that a request may wait for others to join its batch
    queue_timeout_ms: int = 0  # milliseconds that a request may wait before it is refused; 0: without end
    # Requests that may wait before more are refused; 0: any number. Some servers stall with either limit: see
    # `_limit_queue`.
    max_queue: int = 0
    instances: int = 1  # copies of the model that run at the same time, on the CPU or on each GPU
    target: Target = "auto"  # `cpu`, `gpu`, or `auto` for both, each with a configuration of its own
    threads: int = 0  # that ONNX Runtime may use within one operator of one instance; 0: as many as there are cores
    response_cache: bool = False  # whether a known input is answered from memory, if the server has a cache
    # Of the file for GPUs, smallest first; () for the file for CPUs, whose batch is free.
    fixed_batches: tuple[int, ...] = ()
    tensorrt: bool = False  # ONNX Runtime passes the graph to TensorRT, on a GPU, with the file whose batch is free
    int8: bool = False  # whether it is served with the int8 file for CPUs

    def __post_init__(self) -> None:
        for name in ("max_batch", "queue_delay_us", "queue_timeout_ms", "max_queue", "instances", "threads"):
            value, least = getattr(self, name), 1 if name in ("max_batch", "instances") else 0
            if not least <= value <= MOST:
                fix = f"{least} or more" if value < least else f"{MOST} or less"
                raise ExportError(f"{name} is {value}: give {fix}")
        if 0 < self.max_queue < self.max_batch:
            raise ExportError(
                f"max_queue is {self.max_queue}, so a batch of {self.max_batch} would never fill: give at least that"
            )
        if self.fixed_batches and self.max_batch > self.fixed_batches[-1]:
            raise ExportError(
                f"max_batch is {self.max_batch}, and the batch of the file for GPUs is fixed at "
                f"{self.fixed_batches[-1]}: give {self.fixed_batches[-1]} or less"
            )


def network_config(kind: ModelKind, input_size: tuple[int, int], class_count: int, serving: Serving) -> pb.ModelConfig:
    """Describes an exported network, which takes images of this height and width in pixels, to Triton."""
    size = [*input_size, 3]
    config = pb.ModelConfig(name=kind.name, platform=ONNX)
    config.input.add(name=kind.input.name, data_type=datatype(kind.input), dims=size)
    for output in kind.outputs:
        dims = [kind.open_size(class_count) if side is None else side for side in output.shape]
        labels = LABELS_FILE if output.labelled else ""
        config.output.add(name=output.name, data_type=datatype(output), dims=dims, label_filename=labels)
    _schedule(config, serving)
    set_threads(config, serving.threads)
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    if serving.int8:
        config.default_model_filename = INT8_FILE
    if serving.fixed_batches:
        config.default_model_filename = GPU_FILE
        # TensorFloat-32 differs from the trained network by more than parity in fp32 allows.
        accelerators.add(name=CUDA).parameters["use_tf32"] = "0"
    if serving.tensorrt and serving.target == "gpu":
        parameters = {
            "max_workspace_size_bytes": str(WORKSPACE_BYTES),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": ENGINE_CACHE,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": ENGINE_CACHE,
            **{f"trt_profile_{which}_shapes": shape for which, shape in profile(config).items()},
        }
        accelerators.add(name=TENSORRT).parameters.update(parameters)
    for batch in sorted({1, serving.max_batch}):
        warm_up = pb.ModelWarmup(name=f"batch of {batch}", batch_size=batch)
        warm_up.inputs[kind.input.name].CopyFrom(
            pb.ModelWarmup.Input(
                data_type=pb.TYPE_UINT8, dims=size, input_data_file=warm_up_file(kind.input.name, size)
            )
        )
        config.model_warmup.append(warm_up)
    return config


def datatype(tensor: TensorSpec) -> Any:
    """Returns the number of a tensor's datatype in a configuration."""
    return pb.DataType.Value(f"TYPE_{tensor.datatype}")


def describe_tensors(tensors: Iterable[Any]) -> list[dict[str, Any]]:
    """Returns name, datatype in Triton's protocol, and shape of inputs or outputs; -1 is any size."""
    return [
        {
            "name": each.name,
            "datatype": pb.DataType.Name(each.data_type).removeprefix("TYPE_").replace("STRING", "BYTES"),
            "shape": [-1, *each.dims],
        }
        for each in tensors
    ]


def recognizer_config(
    name: str,
    score_threshold: float,
    serving: Serving,
    unknown_threshold: float = 0.0,
    class_categories: Sequence[str] = (),
) -> pb.ModelConfig:
    """Describes the recognizer, a Python model that calls the detector and the classifier, to Triton.

    It has no warm-up: Triton may load it before the models that it calls, and a failed warm-up prevents loading.

    Args:
        score_threshold: lowest detection score that counts, if the request has none.
        unknown_threshold: class score below which a sign is unknown, if the request has none; 0 names every sign.
        class_categories: name of the category of each class, for clients; the recognizer does not read them.
    """
    outputs = (
        ("boxes", pb.TYPE_FP32, [-1, 4]),
        ("detection_scores", pb.TYPE_FP32, [-1]),
        ("categories", pb.TYPE_STRING, [-1]),
        ("class_ids", pb.TYPE_INT32, [-1]),
        ("class_scores", pb.TYPE_FP32, [-1]),
        ("names", pb.TYPE_STRING, [-1]),
    )
    parameters = {
        "score_threshold": f"{score_threshold:g}",
        "unknown_threshold": f"{unknown_threshold:g}",
        "detector_version": "latest",
        "classifier_version": "latest",
    }
    if class_categories:
        parameters[CATEGORIES] = "\n".join(class_categories)
    config = pb.ModelConfig(
        name=name,
        backend="python",
        input=[pb.ModelInput(name="image", data_type=pb.TYPE_STRING, dims=[1])],
        output=[pb.ModelOutput(name=output, data_type=kind, dims=dims) for output, kind, dims in outputs],
        parameters={key: pb.ModelParameter(string_value=value) for key, value in parameters.items()},
    )
    _schedule(config, serving)
    return config


def _schedule(config: pb.ModelConfig, serving: Serving) -> None:
    config.max_batch_size = serving.max_batch
    config.version_policy.latest.num_versions = 1  # before any promotion the newest is served
    config.instance_group.add(kind=KINDS[serving.target], count=serving.instances)
    config.dynamic_batching.max_queue_delay_microseconds = serving.queue_delay_us
    if 0 < serving.preferred_batch < serving.max_batch:
        config.dynamic_batching.preferred_batch_size.append(serving.preferred_batch)
    if serving.queue_timeout_ms or serving.max_queue:
        _limit_queue(config, serving)
    if serving.response_cache:
        config.response_cache.enable = True


def _limit_queue(config: pb.ModelConfig, serving: Serving) -> None:
    """Writes how long and how many requests may wait; by default there is no limit.

    With any queue policy Triton's core forms batches in another way, whatever the backend, and the thread that forms
    them can miss its wake-up and sleep for half a second: issue 8870 of its server, of July 2026; pull request 509 of
    its core fixes one cause. On tritonserver 2.51 with 4 concurrent requests throughput fell by half, and p99 rose from
    20 ms to 511 ms, whichever field of the policy was set; Triton's own ONNX Runtime backend stalls, too.
    """
    config.dynamic_batching.default_queue_policy.CopyFrom(
        pb.ModelQueuePolicy(
            timeout_action=pb.ModelQueuePolicy.REJECT,
            default_timeout_microseconds=1000 * serving.queue_timeout_ms,
            allow_timeout_override=True,
            max_queue_size=serving.max_queue,
        )
    )


def set_threads(config: pb.ModelConfig, threads: int) -> None:
    """Writes the number of threads of ONNX Runtime within an operator; 0 leaves it to ONNX Runtime."""
    config.parameters.pop(THREADS, None)
    if threads:
        config.parameters[THREADS].string_value = str(threads)


def profile(config: pb.ModelConfig) -> dict[str, str]:
    """Returns the shapes of a TensorRT optimisation profile, by `min`, `opt` and `max`: `images:64x48x48x3`.

    TensorRT chooses its kernels for `opt`: full batches, which come under load.
    """
    batches = {"min": 1, "opt": max(config.max_batch_size, 1), "max": max(config.max_batch_size, 1)}
    return {
        which: ",".join(f"{each.name}:{'x'.join(map(str, (batch, *each.dims)))}" for each in config.input)
        for which, batch in batches.items()
    }


def warm_up_file(input_name: str, size: list[int]) -> str:
    """Returns the name of the warm-up's file; it contains the size, which can differ between versions."""
    return f"{input_name}-{'x'.join(map(str, size))}.bin"


def warm_up_path(config: pb.ModelConfig) -> str:
    """Returns the path of the warm-up's file in the folder of a version."""
    return f"{WARM_UP}/{warm_up_file(config.input[0].name, list(config.input[0].dims))}"


def target_of(config: pb.ModelConfig) -> Target:
    """Returns the target of a configuration; `auto` if it runs on any hardware."""
    kinds = {group.kind for group in config.instance_group}
    return "cpu" if kinds == {KINDS["cpu"]} else "gpu" if kinds == {KINDS["gpu"]} else "auto"


def to_text(config: pb.ModelConfig) -> str:
    """Returns the content of a config.pbtxt."""
    return to_bytes(config).decode()
