"""Which configuration a server uses: `configs/NAME.pbtxt` of each model if it exists, else its config.pbtxt.

Triton silently ignores a name that no model has, and a misspelt one would serve all models with the settings for two
cores. So names are checked before a server starts.
"""

from collections.abc import Mapping

from export.errors import RepositoryError
from export.repository.manifest import GPU_FILE, INT8_FILE
from export.repository.policy import CONFIG, CONFIGS, Configs, ModelConfig, config_path

GPU = "gpu"  # the name of the configuration for a server with a GPU
ONNX = "onnxruntime_onnx"  # means the same on the official image (its ONNX Runtime backend) and with the stand-in
BACKEND = "onnxruntime"
TENSORRT = "tensorrt"


def effective(configs: Configs, name: str) -> ModelConfig | None:
    """Returns the configuration that a server started with --model-config-name=NAME uses."""
    return configs.get(config_path(name)) or configs.get(CONFIG)


def require_name(models: Mapping[str, Configs], name: str) -> None:
    """Raises RepositoryError if no model has a configuration of this name; `models` has those of each."""
    paths = {path for configs in models.values() for path in configs if path != CONFIG}
    if config_path(name) not in paths:
        known = ", ".join(sorted(path.removeprefix(f"{CONFIGS}/").removesuffix(".pbtxt") for path in paths))
        raise RepositoryError(
            f"no model has a configuration {config_path(name)}: "
            + (f"there is {known}" if known else "there is config.pbtxt alone; export the models again for others")
        )


def uses_int8(models: Mapping[str, Configs], name: str) -> bool:
    """Returns whether a server with this configuration would serve an int8 file."""
    used = (effective(configs, name) for configs in models.values())
    return any(config is not None and config.default_model_filename == INT8_FILE for config in used)


def is_onnx(config: ModelConfig) -> bool:
    """Returns whether the ONNX Runtime backend runs a model; Triton infers the backend from the platform."""
    return bool(config.platform == ONNX or config.backend == BACKEND)


def runs_searching(config: ModelConfig) -> bool:
    """Returns whether a model would use an available GPU with its file for CPUs, whose batch is free.

    ONNX Runtime would search every convolution again at each change of the batch: under concurrent requests slower than
    a CPU.
    """
    from tritonclient.grpc import model_config_pb2 as pb

    is_free = is_onnx(config) and config.default_model_filename != GPU_FILE and not uses_tensorrt(config)
    kinds = {group.kind for group in config.instance_group}
    return is_free and kinds != {pb.ModelInstanceGroup.KIND_CPU}


def uses_tensorrt(config: ModelConfig) -> bool:
    """Returns whether ONNX Runtime is to hand the graph of a model to TensorRT."""
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return any(accelerator.name == TENSORRT for accelerator in accelerators)


def require_hardware(models: Mapping[str, Configs], name: str, gpu: bool, server: str, where: str = "") -> None:
    """Raises RepositoryError for models that would not run, or crawl, on a server with or without a GPU."""
    from tritonclient.grpc import model_config_pb2 as pb

    used = {model: effective(configs, name) for model, configs in models.items()}
    if gpu:
        for model, config in used.items():
            if config is not None and runs_searching(config):
                raise RepositoryError(
                    f"{where}{model} has no file for GPUs, and its configuration would run the one for CPUs on a GPU: "
                    "export it again with `signs export onnx`, or pin it to the CPU with --target cpu"
                )
        return
    on_gpu = pb.ModelInstanceGroup.KIND_GPU
    waiting = [model for model, config in used.items() if config and on_gpu in {g.kind for g in config.instance_group}]
    if waiting:
        raise RepositoryError(
            f"{where}{' and '.join(waiting)} need{'s' if len(waiting) == 1 else ''} a GPU, and {server}: serve on a "
            "machine with one, or export again without --target gpu"
        )
