"""Data sets are named `kind=PATH` on the command line."""

from pathlib import Path

import pytest

from tests.training.tiny_gtsdb import TinyGtsdb
from training.data.load import load_data
from training.errors import DataError


def test_a_path_may_hold_spaces_and_equals_signs(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    folder = tmp_path / "a=b c"
    gtsdb.folder.rename(folder)
    assert load_data(f"gtsdb={folder}").samples


@pytest.mark.parametrize("spec", ["nonsense", "", "gtsdb", "gtsdb=", "=path", "GTSDB=path", "other=path"])
def test_any_other_form_is_refused_and_the_right_ones_named(spec: str) -> None:
    with pytest.raises(DataError, match="give gtsdb=PATH or gtsrb=PATH"):
        load_data(spec)
