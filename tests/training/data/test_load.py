"""Data sets are named `kind=PATH` on the command line, or by their path alone."""

import shutil
from pathlib import Path

import pytest

from tests.training.tiny_gtsdb import TinyGtsdb
from training.data.load import load_data
from training.errors import DataError


def test_a_path_may_hold_spaces_and_equals_signs(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    folder = tmp_path / "a=b c"
    gtsdb.folder.rename(folder)
    assert load_data(f"gtsdb={folder}").samples


def test_a_path_alone_is_read_as_what_it_holds(
    gtsdb: TinyGtsdb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_data(str(gtsdb.zip)).name == "gtsdb=FullIJCNN2013.zip"
    for name in ("a=b c", "gtsdb=copy", "gtsrb=copy"):
        shutil.copytree(gtsdb.folder, name)
        assert load_data(name).name == f"gtsdb={name}"


def test_the_folder_that_one_is_in_has_its_name(gtsdb: TinyGtsdb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gtsdb.folder)
    assert load_data(".").name == load_data("gtsdb=.").name == f"gtsdb={gtsdb.folder.name}"


def test_a_kind_and_a_path_win_over_a_file_of_that_name(
    gtsdb: TinyGtsdb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gtsdb=FullIJCNN2013").mkdir()
    assert load_data("gtsdb=FullIJCNN2013").samples


def test_a_path_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is neither GTSDB nor GTSRB"):
        load_data(str(tmp_path))


def test_a_kind_with_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data at"):
        load_data(f"gtsdb={tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    "spec", ["nonsense", "", "gtsdb", "gtsdb=", "=path", "GTSDB=path", "other=path", "x" * 5000, "null\0byte"]
)
def test_any_other_form_is_refused_and_the_right_ones_named(spec: str) -> None:
    with pytest.raises(DataError, match="give gtsdb=PATH, gtsrb=PATH"):
        load_data(spec)
