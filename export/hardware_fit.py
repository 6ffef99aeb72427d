"""Chooses the configuration for a machine: `configs/NAME.pbtxt` of a model, for Triton's --model-config-name.

    python -m export.hardware_fit REPOSITORY

prints the name for this machine and these models, for the tritonserver of an image, and the reason on standard error.
Triton has the option since 24.05 (2.46), and serves a model without a configuration of that name with its config.pbtxt,
which is for two cores.

CPUs have two series: cpu-N with the usual file, and cpu-int8-N with the int8 file of the models that have one. Others
have the same configurations in both.
"""

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from export.errors import RepositoryError
from export.repository.configuration import GPU, effective, require_name, uses_int8, uses_tensorrt
from export.repository.hardware import gpus, has_gpu
from export.repository.policy import Configs, config_path
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
LIKE_INT8 = "cpu-int8-"  # prefix of those with the int8 file
# What hardware has by itself. A version may have no file for it: a tuned one, or one for CPUs or GPUs alone.
BY_HARDWARE = (GPU, *(f"{series}{cores}" for series in (LIKE_CPU, LIKE_INT8) for cores in CORES))
CPU_INFO = Path("/proc/cpuinfo")
# Where int8 pays: flags of a CPU, the best first, and why. Measured with the bundled classifier on one core; of whole
# scenes the recognizer answers 1.7 and 1.4 times as many at least. CPUs of ARM have not been measured.
_ON_VNNI = "int8 is up to 2.7 times as fast as fp32 on a CPU with VNNI"
INT8_PAYS = {
    "avx512_vnni": _ON_VNNI,
    "avx_vnni": _ON_VNNI,
    "avx2": "int8 is up to 1.8 times as fast as fp32 on a CPU with AVX2",
}


@dataclass(frozen=True)
class Fit:
    """The configuration for a machine, the reason for it, and whether the server can use a GPU."""

    name: str
    reason: str
    gpu: bool


def name_for(cores: int, int8: bool = False) -> str:
    """Returns the largest configuration for at most a third more cores: waiting instances cost less than idle cores."""
    return cpu_name(max((size for size in CORES if 3 * size <= 4 * cores), default=SMALLEST), int8)


def cpu_name(cores: int, int8: bool = False) -> str:
    """Returns the name of the configuration for a number of cores, one of CORES."""
    return f"{LIKE_INT8 if int8 else LIKE_CPU}{cores}"


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


def find_fit(gpu: bool, models: Mapping[str, Configs]) -> Fit:
    """Returns what fits this machine, for a server of these models that can use a GPU or not."""
    if gpu:
        return Fit(GPU, "the server has a GPU", gpu)
    cores = usable_cores()
    plain, int8 = name_for(cores), name_for(cores, int8=True)
    reason = f"the server may use {cores} core{'' if cores == 1 else 's'} and no GPU"
    if not (pays := int8_gain()) or not uses_int8(models, int8):
        return Fit(plain, reason, gpu)
    if lacking := _lacking(models, plain, int8):
        return Fit(plain, f"{reason}; {pays}, but {lacking}", gpu)
    return Fit(int8, f"{reason}; {pays}", gpu)


def _lacking(models: Mapping[str, Configs], plain: str, int8: str) -> str:
    """Returns which models would be served for two cores, and the fix: those of an earlier release, or made by hand."""
    names = [model for model, each in models.items() if config_path(plain) in each and config_path(int8) not in each]
    return (
        f"{', '.join(names)} cannot be served beside it ({config_path(int8)} is missing): export again" if names else ""
    )


def int8_gain() -> str:
    """Returns why int8 is faster than fp32 on the CPU of this machine; empty where it is not known to be."""
    with suppress(OSError):
        flags = re.search(r"^flags\s*:(.*)$", CPU_INFO.read_text(), re.MULTILINE)
        present = flags[1].split() if flags else []
        return next((gain for flag, gain in INT8_PAYS.items() if flag in present), "")
    return ""


def configurations(repository: Path) -> dict[str, Configs]:
    """Returns the configurations of each model in a folder; raises RepositoryError if one cannot be read."""
    store = open_store(repository)
    return {model: present_configs(store, model) for model in store.models()}


def can_use_gpu(installation: Installation) -> bool:
    """Returns whether a server runs models on a GPU; the stand-in for the ONNX Runtime backend uses CPUs."""
    return not installation.has_standin and has_gpu()


def fitting_arguments(installation: Installation, repository: Path) -> tuple[str, ...]:
    """Returns the arguments that make a server of a repository use the configuration for this machine."""
    return (f"--model-config-name={find_fit(can_use_gpu(installation), configurations(repository)).name}",)


def choose_configuration(repository: Path, installation: Installation, asked: str) -> Fit:
    """Returns the configuration for a server on this machine; an empty name chooses what fits.

    Raises:
        ServingError: it is for a GPU, and the server has none.
        export.errors.RepositoryError: no model has a configuration of that name, or an int8 file for it.
    """
    gpu, models = can_use_gpu(installation), configurations(repository)
    if not asked:
        return find_fit(gpu, models)
    if asked == GPU and not gpu:
        reason = "its ONNX Runtime backend is the stand-in, for CPUs" if has_gpu() else "this machine has none"
        raise ServingError(f"--configuration {GPU} needs a GPU, and {reason}: leave it out, or name one for CPUs")
    if asked in BY_HARDWARE and asked.startswith(LIKE_INT8):
        plain = asked.replace(LIKE_INT8, LIKE_CPU)
        if not uses_int8(models, asked):
            raise RepositoryError(
                f"no model has an int8 file for --configuration {asked}: export one with `signs export onnx "
                f"--precision int8`, or name {plain}"
            )
        if lacking := _lacking(models, plain, asked):
            raise RepositoryError(f"--configuration {asked}: {lacking}, or name {plain}")
    elif stored_name(asked):
        require_name(models, asked)
    return Fit(asked, "as asked for", gpu)


def check_tensorrt(repository: Path, fit: Fit, version: str) -> None:
    """Raises ServingError for TensorRT on several GPUs with a server that would put it on the first only."""
    if not fit.gpu or parse_version(version) >= NUMBERS_DEVICES or len(gpus()) < 2:
        return
    for model, configs in configurations(repository).items():
        config = effective(configs, fit.name)
        if config is not None and uses_tensorrt(config):
            raise ServingError(
                f"{model} uses TensorRT, which tritonserver {version} would run on the first GPU alone, of "
                f"{len(gpus())}: take one from 25.06 on, show it one GPU (CUDA_VISIBLE_DEVICES=0), or export with "
                "--tensorrt off"
            )


def main(repository: Path) -> None:
    """Prints the name for this machine and the models in a folder; ends with a message if one cannot be read."""
    try:
        models = configurations(repository)
    except RepositoryError as error:
        sys.exit(f"signs: {error}")
    fit = find_fit(has_gpu() and not has_standin(OFFICIAL / "backends"), models)
    print(f"configuration {fit.name}: {fit.reason}", file=sys.stderr)
    print(fit.name)


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]))
