"""Durations: what they mean, and what is none."""

import pytest

from traffic_signs.durations import seconds
from traffic_signs.settings import SettingError


def test_durations_in_seconds() -> None:
    assert [seconds(text) for text in ("60s", "90m", "1h30m", "2d", "1w")] == [60, 5400, 5400, 172800, 604800]
    for text in ("", "60", "1x", "-1h", "1h 30m", "0s", "1.5h", "999999999w", "h"):
        with pytest.raises(SettingError, match="give a duration"):
            seconds(text)
