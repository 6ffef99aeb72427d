"""Values in a config.pbtxt that crash the whole server instead of failing one model.

Triton's ONNX Runtime backend reads numbers with C++'s `stoi` and `stoull` and does not catch their range errors: the
server aborts. It passes the arena shrinkage to ONNX Runtime unchecked: a failed run in the warm-up ends the server with
signal 11.
"""

import re
from collections.abc import Iterator, Mapping

from export.errors import RepositoryError
from export.repository.configuration import is_onnx
from export.repository.policy import ModelConfig

THREADS = ("intra_op_thread_count", "inter_op_thread_count")
MOST_THREADS = 1024  # of one instance, each a thread of the system
NUMBERS = (*THREADS, "execution_mode", "cudnn_conv_algo_search", "arena_extend_strategy")
TENSORRT_NUMBERS = (
    "trt_auxiliary_streams",
    "trt_builder_optimization_level",
    "trt_dla_core",
    "trt_max_partition_iterations",
    "trt_min_subgraph_size",
)
TENSORRT_SIZE = "max_workspace_size_bytes"
SHRINKAGE = "memory.enable_memory_arena_shrinkage"


def check_values(config: ModelConfig, where: str) -> None:
    """Raises RepositoryError for values that would end the server, and names all; other mistakes pass."""
    if is_onnx(config):
        problems = list(_problems(config))
        if problems:
            raise RepositoryError(f"{where} would end the whole server: {'; '.join(problems)}")


def _problems(config: ModelConfig) -> Iterator[str]:
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    yield from _too_large(parameters, NUMBERS, 31)
    for key in THREADS:
        if MOST_THREADS < (_leading_number(parameters.get(key, "")) or 0) < 2**31:
            yield f"{key} is {parameters[key]!r}: give {MOST_THREADS} or less"
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        yield from _too_large(accelerator.parameters, TENSORRT_NUMBERS, 31)
        yield from _too_large(accelerator.parameters, (TENSORRT_SIZE,), 64)
    if parameters.get(SHRINKAGE):
        yield from _without_arena(parameters, {group.kind for group in config.instance_group})


def _too_large(parameters: Mapping[str, str], keys: tuple[str, ...], bits: int) -> Iterator[str]:
    for key in keys:
        number = _leading_number(parameters.get(key, ""))
        if number is not None and abs(number) >= 2**bits:
            yield f"{key} is {parameters[key]!r}: give less than 2^{bits}"


def _leading_number(value: str) -> int | None:
    """Returns the number at the start of a text, which is all that `stoi` reads."""
    found = re.match(r"\s*([+-]?\d+)", value)
    return int(found[1]) if found else None


def _without_arena(parameters: Mapping[str, str], kinds: set[int]) -> Iterator[str]:
    from tritonclient.grpc import model_config_pb2 as pb

    value = parameters[SHRINKAGE]
    if not re.fullmatch(r"(cpu:0|gpu:\d{1,2})(;(cpu:0|gpu:\d{1,2}))*", value):
        yield f"{SHRINKAGE} is {value!r}: give cpu:0, or gpu:N for a model that runs on GPUs alone"
    elif "cpu" in value and parameters.get("enable_mem_arena", "1").lower() in ("0", "false"):
        yield f"{SHRINKAGE} is {value!r}, and enable_mem_arena leaves that arena out: leave out one of the two"
    elif "gpu" in value and kinds != {pb.ModelInstanceGroup.KIND_GPU}:
        yield f"{SHRINKAGE} is {value!r}, and the model may run without a GPU: give cpu:0, or KIND_GPU to its instances"
