"""Durations, written as Prometheus writes them: 60s, 90m, 1h30m, 2d."""

import re

from traffic_signs.settings import SettingError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
DURATION = "DURATION"  # what stands for one in the help


def seconds(duration: str) -> float:
    """Returns the seconds of a duration.

    Raises:
        SettingError: it has another format, or is not above 0.
    """
    parts = re.findall(r"(\d+)([smhdw])", duration)
    total = sum(int(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != duration or not 0 < total <= 100 * UNITS["w"]:
        raise SettingError(f"{duration!r}: give a duration such as 60s, 90m, 1h30m or 2d")
    return float(total)
