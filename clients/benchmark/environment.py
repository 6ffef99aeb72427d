"""The machine that was measured: figures of speed depend on it and on versions."""

import os
import platform
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from export.repository.hardware import gpus
from traffic_signs.commit import git_commit
from traffic_signs.cores import usable_cores

PACKAGES = ("traffic-sign-mlops", "tritonclient", "numpy", "onnxruntime")
BUSY = 0.25  # of the cores: other programs that use more affect the figures


def describe_machine(**versions: str) -> dict[str, Any]:
    """Returns this machine's hardware, versions and load; `versions` are those of further programs."""
    return {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))} | versions,
        "git_commit": git_commit(),
        "load": round(os.getloadavg()[0], 2),
    }


def busy_notice(machine: dict[str, Any]) -> str:
    """Returns a notice if other programs kept the machine busy before the measurement, else an empty string."""
    if machine["load"] <= BUSY * machine["cores"]:
        return ""
    return (
        f"before the measurement the load of other programs was {machine['load']:g} on {machine['cores']} cores: an "
        "idle machine is faster"
    )


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    try:
        return [f"{each.name}, driver {each.driver}" for each in gpus()]
    except RepositoryError:
        return []


def _version(package: str) -> str:
    # A package that was not imported plays no part; onnxruntime-gpu provides the module onnxruntime.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", ""))
