"""Whoever reads a file while it is written sees the old one or the new one."""

from pathlib import Path

import pytest

from traffic_signs.atomic_write import atomic_write


def test_the_new_file_takes_the_place_of_the_old_one_after_the_block(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("old")
    with atomic_write(path) as staging:
        staging.write_text("new")
        assert path.read_text() == "old" and staging.parent == tmp_path
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as staging:
        staging.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_put_there_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError), atomic_write(tmp_path / "folder") as staging:
        staging.write_text("new")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
