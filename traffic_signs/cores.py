"""Counts the cores that this process may use: its CPU affinity and the CPU limit of its container."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Returns how many cores this process may use at a time, at least 1.

    A container's CPU limit is rounded up to whole cores. On other systems than Linux it is the number of cores of the
    machine.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_limit())))


def cpu_limit(root: Path = CGROUPS, own: Path = OWN) -> float:
    """Returns the CPU limit of this process's control groups in cores; infinite if there is none.

    The limits of all parent groups count too. In a container the group that the kernel names may not be visible; the
    mounted root is then the container's own group.

    Args:
        root: mount point of the control groups, version 2 or 1.
        own: the kernel's file with the groups of this process.
    """
    limit = math.inf
    for controllers, path in _groups(own):
        hierarchy = root if not controllers else root / controllers
        folder = hierarchy / path.lstrip("/")
        while True:
            limit = min(limit, _limit_in(folder))
            if folder == hierarchy or hierarchy not in folder.parents:
                break
            folder = folder.parent
    return limit


def _groups(own: Path) -> list[tuple[str, str]]:
    """Returns the controllers and the path of each group that can limit the CPU; version 2 has no controllers."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return []
    return [(line[1], line[2]) for line in lines if len(line) == 3 and (not line[1] or "cpu" in line[1].split(","))]


def _limit_in(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return math.inf
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return math.inf
    return cores if cores > 0 else math.inf  # -1 is no limit
