"""The reasons for the settings of a config.pbtxt, a line each."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tritonclient.grpc import model_config_pb2 as pb

from export.config import CUDA, ENGINE, THREADS
from export.repository.configuration import ONNX, TENSORRT
from export.repository.manifest import GPU_FILE, INT8_FILE
from traffic_sign_client.client import CATEGORIES


class Choice(NamedTuple):
    """A setting, its value and the reason."""

    name: str
    value: str
    why: str


_PLATFORMS = {
    ONNX: "the ONNX Runtime backend of the official image, or this project's stand-in for it",
    ENGINE: "a compiled engine: the fastest, only for the GPU, driver and TensorRT that its manifest names",
}
_BACKENDS = {"python": "sources in Python that call other models of the server"}
_FILES = {
    GPU_FILE: "the file for GPUs: each convolution has one batch, or ONNX Runtime would search it again at each change",
    INT8_FILE: "the int8 file, for CPUs on which it is faster; config.pbtxt and configs/cpu-N.pbtxt have the usual one",
}
_KINDS = {
    pb.ModelInstanceGroup.KIND_AUTO: "on a GPU if the server has one, else on the CPU",
    pb.ModelInstanceGroup.KIND_CPU: "on the CPU; a server with a GPU uses another configuration and the file for GPUs",
    pb.ModelInstanceGroup.KIND_GPU: "on every GPU; a server without one does not start, instead of being slow",
    pb.ModelInstanceGroup.KIND_MODEL: "the model chooses where it runs",
}
_PARAMETERS = {
    THREADS: "threads of ONNX Runtime within an operator, of each instance: instances x threads are the cores",
    "inter_op_thread_count": "threads of ONNX Runtime across operators; counts only with execution_mode 1",
    "execution_mode": "0 runs operators one after the other, 1 side by side, which pays off in graphs with branches",
    "score_threshold": "lowest detection score that counts, unless the request has one",
    "unknown_threshold": "class score below which a sign is unknown, unless the request has one",
    "detector_version": "version of the detector that is called; latest is the one that is served",
    "classifier_version": "version of the classifier that is called; latest is the one that is served",
    CATEGORIES: "category of each class, by its id, for clients that list the classes",
}
_ACCELERATORS = {
    TENSORRT: "ONNX Runtime passes the graph to TensorRT; the graph has the precision, as TensorRT 11 requires",
    CUDA: "ONNX Runtime's own way on a GPU, with the options below",
}
_ACCELERATOR = {
    "use_tf32": "0: TensorFloat-32 differs from the trained network by more than parity in fp32 allows",
    "max_workspace_size_bytes": "memory of the GPU that TensorRT may use for a layer",
    "trt_engine_cache_enable": "engines are stored: building one takes minutes, once",
    "trt_engine_cache_path": "their folder: a volume, so that the next pod on this GPU finds them",
    "trt_timing_cache_enable": "timings of kernels are stored: a new version builds faster than the first",
    "trt_timing_cache_path": "their folder",
    "trt_profile_min_shapes": "smallest input of the one engine: without a profile each new batch size builds another",
    "trt_profile_opt_shapes": "input that kernels are chosen for: full batches, which come under load",
    "trt_profile_max_shapes": "largest input of the engine: the largest batch",
}
_POLICIES = {
    "latest": "nothing was promoted yet: the newest is served",
    "specific": "what was promoted or pulled: publishing changes nothing",
    "all": "every version is served, and takes memory",
}
_ELSEWHERE = "not set by this project: see the model configuration in Triton's manual"


def explain(config: pb.ModelConfig) -> list[Choice]:
    """Returns every choice of a configuration with its reason, in the order of the file."""
    choices = [*_identity(config), *_tensors(config), *_instances(config), *_batching(config), *_rest(config)]
    explained = {choice.name.split(".")[0] for choice in choices}
    choices += _others(config, "", explained | {"optimization", "dynamic_batching"})
    choices += _others(config.optimization, "optimization.", {"execution_accelerators"})
    explained = {"max_queue_delay_microseconds", "preferred_batch_size", "default_queue_policy"}
    return [*choices, *_others(config.dynamic_batching, "dynamic_batching.", explained)]


def _others(message: Any, prefix: str, explained: set[str]) -> Iterator[Choice]:
    """Yields the fields that are set and not explained yet, so that none is missing."""
    for field, value in message.ListFields():
        if field.name not in explained:
            yield Choice(prefix + field.name, " ".join(str(value).split())[:60], _ELSEWHERE)


def _identity(config: pb.ModelConfig) -> Iterator[Choice]:
    yield Choice("name", config.name, "the name for clients; the same for all versions")
    for name, reasons in (("platform", _PLATFORMS), ("backend", _BACKENDS), ("default_model_filename", _FILES)):
        if value := getattr(config, name):
            yield Choice(name, value, reasons.get(value, _ELSEWHERE))
    policy = config.version_policy
    if kind := policy.WhichOneof("policy_choice"):
        values = {"latest": [policy.latest.num_versions], "specific": policy.specific.versions}.get(kind, ())
        yield Choice(f"version_policy.{kind}", ", ".join(map(str, values)), _POLICIES[kind])


def _tensors(config: pb.ModelConfig) -> Iterator[Choice]:
    batch = "; the batch comes before these sizes" if config.max_batch_size else ""
    for tensor in config.input:
        bytes_in = "bytes: the graph normalises them, the same for all clients"
        why = bytes_in if tensor.data_type == pb.TYPE_UINT8 else "the bytes of a picture file"
        yield Choice(f"input.{tensor.name}", _tensor(tensor), why + batch)
    for tensor in config.output:
        labels = f", and class names from {tensor.label_filename}" if tensor.label_filename else ""
        yield Choice(f"output.{tensor.name}", _tensor(tensor), f"as the network returns it{labels}")


def _instances(config: pb.ModelConfig) -> Iterator[Choice]:
    for group in config.instance_group:
        kind = pb.ModelInstanceGroup.Kind.Name(group.kind)
        yield Choice("instance_group.kind", kind, _KINDS.get(group.kind, _ELSEWHERE))
        yield Choice("instance_group.count", str(max(group.count, 1)), _why_so_many(config, group))
    if config.platform == ONNX and THREADS not in config.parameters:
        yield Choice(f"parameters.{THREADS}", "not set", "ONNX Runtime takes all cores for one instance")
    for key in sorted(config.parameters):
        yield Choice(f"parameters.{key}", config.parameters[key].string_value, _PARAMETERS.get(key, _ELSEWHERE))


def _why_so_many(config: pb.ModelConfig, group: pb.ModelInstanceGroup) -> str:
    if group.count <= 1:
        return "more would share the same cores; `signs export tune` measures it"
    if group.kind == pb.ModelInstanceGroup.KIND_CPU and config.platform == ONNX:
        return "one a core while they are few: instances do not wait for each other after every operator"
    return "one computes while the other reads and replies"


def _batching(config: pb.ModelConfig) -> Iterator[Choice]:
    if config.max_batch_size:
        why = "one run for many requests; the largest that parity was checked for, or that was tuned"
        if config.max_batch_size == 1:
            why = "each instance takes what has waited longest; one that took all would leave the others idle"
        if config.default_model_filename == GPU_FILE:
            why += "; no more than the fixed batch of the file"
        yield Choice("max_batch_size", str(config.max_batch_size), why)
    if not config.HasField("dynamic_batching"):
        return
    batching = config.dynamic_batching
    delay = batching.max_queue_delay_microseconds
    why = "a request may wait so long for others to join its batch: little against the time of the network"
    why = why if delay else "a batch is what is waiting already: no request waits for later ones"
    yield Choice("dynamic_batching.max_queue_delay_microseconds", str(delay), why)
    if batching.preferred_batch_size:
        sizes = ", ".join(map(str, batching.preferred_batch_size))
        why = "formed first: an instance that takes all that waits leaves the others idle"
        yield Choice("dynamic_batching.preferred_batch_size", sizes, why)
    policy, prefix = batching.default_queue_policy, "dynamic_batching.default_queue_policy"
    if not batching.HasField("default_queue_policy"):
        why = "any number waits until the client gives up: with a limit Triton's core stalls (server issue 8870)"
        yield Choice(prefix, "not set", why)
        return
    if policy.max_queue_size:
        why = "more are refused at once, which is better than an answer that comes too late"
        yield Choice(f"{prefix}.max_queue_size", str(policy.max_queue_size), why)
    if policy.default_timeout_microseconds:
        why = "a request that waited so long is refused; less than a client waits, or nobody reads the answer"
        yield Choice(f"{prefix}.default_timeout_microseconds", str(policy.default_timeout_microseconds), why)
    action = pb.ModelQueuePolicy.TimeoutAction.Name(policy.timeout_action)
    why = "refused, not put last, so that later requests do not wait longer" if action == "REJECT" else _ELSEWHERE
    yield Choice(f"{prefix}.timeout_action", action, why)
    if policy.allow_timeout_override:
        yield Choice(f"{prefix}.allow_timeout_override", "true", "a request may set a shorter time")


def _rest(config: pb.ModelConfig) -> Iterator[Choice]:
    accelerators = config.optimization.execution_accelerators
    for accelerator in accelerators.gpu_execution_accelerator:
        prefix = f"optimization.gpu_execution_accelerator.{accelerator.name}"
        yield Choice(prefix, "on", _ACCELERATORS.get(accelerator.name, _ELSEWHERE))
        for key in sorted(accelerator.parameters):
            yield Choice(f"{prefix}.{key}", accelerator.parameters[key], _ACCELERATOR.get(key, _ELSEWHERE))
    for accelerator in accelerators.cpu_execution_accelerator:
        yield Choice(f"optimization.cpu_execution_accelerator.{accelerator.name}", "on", _ELSEWHERE)
    for warm_up in config.model_warmup:
        files = {entry.input_data_file for entry in warm_up.inputs.values()} - {""}
        why = "the first run is slow (memory, kernels, engines): it runs before the server is ready"
        data = f"{', '.join(sorted(files))}, a drawn picture" if files else "made-up data"
        yield Choice(f"model_warmup.{warm_up.name}", f"{warm_up.batch_size} x {data}", why)
    cache = config.response_cache.enable
    why = "a known input is answered from memory, with `signs serve --cache`"
    yield Choice("response_cache", "on" if cache else "off", why if cache else "no two photographs are the same")


def _tensor(tensor: "pb.ModelInput | pb.ModelOutput") -> str:
    return f"{pb.DataType.Name(tensor.data_type).removeprefix('TYPE_')} {'x'.join(map(str, tensor.dims))}"
