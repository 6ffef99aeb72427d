"""Latency of single requests, champion and challenger alternately, so that a busy machine slows both."""

import time

import numpy as np
import numpy.typing as npt

from export.arrays import Images
from export.gate.side_by_side import ServedVersion
from export.gate.verdict import Role
from traffic_signs.progress import ProgressCallback

WARM_UP = 10  # pairs that do not count
BUDGET_S = 30.0
FEWEST, MOST = 100, 1000  # pairs: with fewer p99 is the slowest request; more hardly narrow it


def time_requests(
    versions: dict[Role, ServedVersion], images: dict[Role, Images], pairs: int | None, progress: ProgressCallback
) -> dict[Role, npt.NDArray[np.float64]]:
    """Times requests for one image each, one after another over gRPC; the order changes from pair to pair.

    Args:
        images: what to send to each, uint8 [n, height, width, 3].
        pairs: how many to time; what BUDGET_S allows for None.

    Returns:
        By role float64 [pairs], milliseconds.
    """
    roles = list(versions)

    def ask(role: Role, number: int) -> float:
        image = images[role][number % len(images[role])][None]
        start = time.perf_counter()
        versions[role](image)
        return 1000 * (time.perf_counter() - start)

    warm = [sum(ask(role, number) for role in roles) for number in range(WARM_UP)]
    wanted = pairs or int(np.clip(1000 * BUDGET_S / np.median(warm), FEWEST, MOST))
    times = {role: np.empty(wanted) for role in roles}
    for number in range(wanted):
        for role in roles if number % 2 else reversed(roles):
            times[role][number] = ask(role, number)
        progress("timing requests", number + 1, wanted)
    return times
