"""Whoever reads a file while it is written sees the old one or the new one."""

import os
import subprocess
from pathlib import Path

import pytest

from traffic_signs.atomic_write import atomic_folder, atomic_write


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


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    with atomic_folder(target) as staging:
        (staging / "file").write_text("whole")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"] and list(target.parent.iterdir()) == [target]


def test_a_folder_that_fails_or_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "folder") as staging:
        (staging / "file").touch()
        raise KeyboardInterrupt
    with atomic_folder(tmp_path / "folder") as staging:
        staging.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with pytest.raises(OSError), atomic_folder(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "file"]


def test_folders_of_killed_processes_are_removed_and_those_of_running_ones_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    running = tmp_path / f".staging-folder-{os.getppid()}"
    for pid in (dead.pid, os.getpid(), os.getppid()):
        (tmp_path / f".staging-folder-{pid}" / "content").mkdir(parents=True)
    with atomic_folder(tmp_path / "folder") as staging:
        assert list(staging.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == sorted([running, tmp_path / "folder"])
