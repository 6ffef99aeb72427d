"""Where the real benchmark is, and the marks of tests that need it.

SIGNS_TEST_DATA names a folder with `gtsdb.zip` and `gtsrb.zip`, as they are published; without it that is `data/` in
the root of the project.
"""

import os
from pathlib import Path

import pytest

_DATA = Path(os.environ.get("SIGNS_TEST_DATA") or Path(__file__).parents[3] / "data").resolve()
GTSDB, GTSRB = _DATA / "gtsdb.zip", _DATA / "gtsrb.zip"


def _needs(archive: Path) -> list[pytest.MarkDecorator]:
    reason = "no real images: name a folder with gtsdb.zip and gtsrb.zip in SIGNS_TEST_DATA"
    return [pytest.mark.real_data, pytest.mark.skipif(not archive.is_file(), reason=reason)]


NEEDS_GTSDB, NEEDS_GTSRB = _needs(GTSDB), _needs(GTSRB)
