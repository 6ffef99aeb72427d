"""Chooses the configuration for a machine: `configs/NAME.pbtxt` of a model, for Triton's --model-config-name.

    python -m export.hardware_fit

prints the name for this machine, for the tritonserver of an image, and the reason on standard error. Triton has the
option since 24.05 (2.46), and serves a model without a configuration of that name with its config.pbtxt, which is for
two cores.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from export.repository.configuration import GPU, effective, require_name, uses_tensorrt
from export.repository.hardware import gpus, has_gpu
from export.repository.promotion import present_configs
from export.repository.store import open_store
from serving.errors import ServingError
from serving.install import Installation, has_standin
from serving.own_server import OFFICIAL
from serving.versions import parse_version
from traffic_signs.cores import usable_cores

CORES = (2, 4, 8, 16, 32, 64)
SMALLEST, *LARGER = CORES  # config.pbtxt is for the first, configs/cpu-N.pbtxt for the others
MOST_INSTANCES = 8  # each needs memory; on more cores an instance has several threads
NUMBERS_DEVICES = (2, 59)  # 25.06: from here the ONNX Runtime backend gives TensorRT the number of the GPU
LIKE_CPU = "cpu-"  # prefix of configurations for CPUs
# What hardware has by itself. A version may have no file for it: a tuned one, or one for CPUs or GPUs alone.
BY_HARDWARE = (GPU, *(f"{LIKE_CPU}{cores}" for cores in CORES))


@dataclass(frozen=True)
class Fit:
    """The configuration for a machine, the reason for it, and whether the server can use a GPU."""

    name: str
    reason: str
    gpu: bool


def name_for(cores: int) -> str:
    """Returns the largest configuration for at most a third more cores: waiting instances cost less than idle cores."""
    return cpu_name(max((size for size in CORES if 3 * size <= 4 * cores), default=SMALLEST))


def cpu_name(cores: int) -> str:
    """Returns the name of the configuration for a number of cores, one of CORES."""
    return f"{LIKE_CPU}{cores}"


def stored_name(name: str) -> str:
    """Returns the name whose file a model must have; empty for the configuration for two cores, config.pbtxt itself."""
    return "" if name == cpu_name(SMALLEST) else name


def share_out(cores: int) -> tuple[int, int]:
    """Returns the instances of a network, and the threads of each, for a number of cores.

    Few cores get an instance each: instances do not wait for each other after every operator, and run twice as many
    images of a small network as the threads of one.
    """
    instances = min(cores, MOST_INSTANCES)
    return instances, cores // instances


def find_fit(gpu: bool) -> Fit:
    """Returns what fits this machine, for a server that can use a GPU or not."""
    if gpu:
        return Fit(GPU, "the server has a GPU", gpu)
    cores = usable_cores()
    return Fit(name_for(cores), f"the server may use {cores} core{'' if cores == 1 else 's'} and no GPU", gpu)


def can_use_gpu(installation: Installation) -> bool:
    """Returns whether a server runs models on a GPU; the stand-in for the ONNX Runtime backend uses CPUs."""
    return not installation.has_standin and has_gpu()


def fitting_arguments(installation: Installation) -> tuple[str, ...]:
    """Returns the arguments that make a server use the configuration for this machine."""
    return (f"--model-config-name={find_fit(can_use_gpu(installation)).name}",)


def choose_configuration(repository: Path, installation: Installation, asked: str) -> Fit:
    """Returns the configuration for a server on this machine; an empty name chooses what fits.

    Raises:
        ServingError: it is for a GPU, and the server has none.
        export.errors.RepositoryError: no model has a configuration of that name.
    """
    gpu = can_use_gpu(installation)
    if not asked:
        return find_fit(gpu)
    if asked == GPU and not gpu:
        reason = "its ONNX Runtime backend is the stand-in, for CPUs" if has_gpu() else "this machine has none"
        raise ServingError(f"--configuration {GPU} needs a GPU, and {reason}: leave it out, or name one for CPUs")
    if stored_name(asked):
        store = open_store(repository)
        require_name({model: present_configs(store, model) for model in store.models()}, asked)
    return Fit(asked, "as asked for", gpu)


def check_tensorrt(repository: Path, fit: Fit, version: str) -> None:
    """Raises ServingError for TensorRT on several GPUs with a server that would put it on the first only."""
    if not fit.gpu or parse_version(version) >= NUMBERS_DEVICES or len(gpus()) < 2:
        return
    store = open_store(repository)
    for model in store.models():
        config = effective(present_configs(store, model), fit.name)
        if config is not None and uses_tensorrt(config):
            raise ServingError(
                f"{model} uses TensorRT, which tritonserver {version} would run on the first GPU alone, of "
                f"{len(gpus())}: take one from 25.06 on, show it one GPU (CUDA_VISIBLE_DEVICES=0), or export with "
                "--no-tensorrt"
            )


def main() -> None:
    """Prints the name for this machine."""
    fit = find_fit(has_gpu() and not has_standin(OFFICIAL / "backends"))
    print(f"configuration {fit.name}: {fit.reason}", file=sys.stderr)
    print(fit.name)


if __name__ == "__main__":
    main()
