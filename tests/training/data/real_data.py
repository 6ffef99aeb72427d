"""Where the real benchmark is, and the marks of tests that need it."""

from pathlib import Path

import pytest

_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
GTSDB, GTSRB = _DATA / "gtsdb.zip", _DATA / "gtsrb.zip"

NEEDS_GTSDB = [
    pytest.mark.real_data,
    pytest.mark.skipif(not GTSDB.is_file(), reason="the real GTSDB images are not at ../shared/data/gtsdb.zip"),
]

NEEDS_GTSRB = [
    pytest.mark.real_data,
    pytest.mark.skipif(not GTSRB.is_file(), reason="the real GTSRB images are not at ../shared/data/gtsrb.zip"),
]
