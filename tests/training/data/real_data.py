"""Where the real benchmark is, and the marks of tests that need it."""

from pathlib import Path

import pytest

GTSDB = Path(__file__).resolve().parents[4] / "shared" / "data" / "gtsdb.zip"

NEEDS_GTSDB = [
    pytest.mark.real_data,
    pytest.mark.skipif(not GTSDB.is_file(), reason="the real GTSDB images are not at ../shared/data/gtsdb.zip"),
]
