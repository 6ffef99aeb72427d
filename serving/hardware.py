"""Which configuration fits the machine: `configs/NAME.pbtxt` of a model, which Triton takes by --model-config-name.

    python -m serving.hardware

prints the name for this machine, and on standard error why; an image takes it for its own tritonserver. Triton knows
the option since 24.05 (2.46). A model that has no configuration of that name is served by its config.pbtxt, which is
for two cores.
"""

import sys
from dataclasses import dataclass

from serving.recognizer.cores import usable_cores

GPU = "gpu"
SMALLEST, *LARGER = CORES = (2, 4, 8, 16)  # config.pbtxt is for the first, configs/cpu-N.pbtxt for the others
MOST_INSTANCES = 8  # each takes memory; beyond, an instance has several threads


@dataclass(frozen=True)
class Fit:
    """The configuration for a machine: its name, and what of the machine it was chosen for."""

    name: str
    reason: str


def name_for(cores: int) -> str:
    """Returns the name of the configuration for so many cores.

    That is the largest that asks for a third more than there are at most: instances that take turns cost less than
    cores that idle.
    """
    return cpu_name(max((size for size in CORES if 3 * size <= 4 * cores), default=SMALLEST))


def cpu_name(cores: int) -> str:
    """Returns the name of the configuration that is made for exactly so many cores, one of CORES."""
    return f"cpu-{cores}"


def share_out(cores: int) -> tuple[int, int]:
    """Returns instances of a network, and threads of each, that use so many cores.

    One thread each as long as they are few: instances beside each other need not wait for each other after every
    operator, and run twice as many images of a small network as the threads of one.
    """
    instances = min(cores, MOST_INSTANCES)
    return instances, cores // instances


def find_fit(gpu: bool) -> Fit:
    """Returns what fits this machine.

    Args:
        gpu: the server can use a GPU.
    """
    if gpu:
        return Fit(GPU, "the server has a GPU")
    cores = usable_cores()
    return Fit(name_for(cores), f"the server may use {cores} core{'' if cores == 1 else 's'} and has no GPU")


def main() -> None:
    """Prints the name for this machine."""
    from export.repository.hardware import has_gpu

    fit = find_fit(has_gpu())
    print(f"configuration {fit.name}: {fit.reason}", file=sys.stderr)
    print(fit.name)


if __name__ == "__main__":
    main()
