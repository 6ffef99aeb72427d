"""Pruning keeps what is served and what a rollback goes back to."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.command.repository_output import print_list
from export.errors import NewerSchemaError, RepositoryError
from export.repository import promote, rollback, versions
from export.repository.listing import list_versions
from export.repository.pruning import prune
from export.repository.store import open_store
from export.repository.verification import verify
from tests.export.repository.samples import publish_once, tree


def publish_many(place: str | Path, count: int) -> None:
    for number in range(count):
        publish_once(place, bytes([number]))


def test_before_any_promotion_the_newest_stay(place: str) -> None:
    publish_many(place, 5)
    pruned = prune(place, "m", keep=2)
    assert (pruned.kept, pruned.removed) == ([3, 4, 5], [1, 2])
    assert versions(place, "m") == [3, 4, 5]
    assert publish_once(place).version == 6


def test_the_champion_and_the_one_before_outlive_newer_ones(place: str) -> None:
    publish_many(place, 6)
    promote(place, "m", 1, "")
    promote(place, "m", 3, "")
    assert prune(place, "m", keep=2).kept == [1, 3, 6]
    assert (entry := rollback(place, "m", "")) and entry.version == 1
    assert prune(place, "m", keep=0).kept == [1]
    assert not any(check.problems for check in verify(place))


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    publish_many(tmp_path, 4)
    before = tree(tmp_path)
    assert prune(tmp_path, "m", keep=0, dry_run=True).removed == [1, 2, 3]
    assert tree(tmp_path) == before


def test_a_version_of_a_newer_release_is_not_removed_and_listed_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_many(tmp_path, 3)
    (tmp_path / "m" / "1" / "manifest.json").write_text("{")
    written = tmp_path / "m" / "2" / "manifest.json"
    written.write_text(json.dumps(json.loads(written.read_text()) | {"schema": 2}))
    rows = list_versions(tmp_path)
    assert [row["newer"] for row in rows] == [False, True, False]
    print_list(rows, str(tmp_path))
    shown = capsys.readouterr().out
    assert "of a newer release" in shown and "damaged" in shown
    for dry_run in (True, False):
        with pytest.raises(NewerSchemaError, match="install a newer release"):
            prune(tmp_path, "m", keep=0, dry_run=dry_run)
    assert versions(tmp_path, "m") == [1, 2, 3]
    assert prune(tmp_path, "m", keep=1).removed == [1], "a damaged one can be removed"


def test_what_broken_off_work_left_goes_when_it_is_old(tmp_path: Path) -> None:
    publish_many(tmp_path / "r", 1)
    old = [tmp_path / ".staging-r-old", tmp_path / "r" / "m" / ".staging-old"]
    others = [tmp_path / ".staging-r-new", tmp_path / ".staging-elsewhere-old"]
    for folder in (*old, *others):
        folder.mkdir()
        (folder / "model.onnx").touch()
    for folder in (*old, others[1]):
        os.utime(folder, (time.time() - 90_000,) * 2)
    assert prune(tmp_path / "r", "m", keep=0).swept == sorted(map(str, old))
    assert [folder.exists() for folder in (*old, *others)] == [False, False, True, True]


def test_an_unfinished_upload_goes_when_it_is_old(new_bucket: Callable[[], str]) -> None:
    place = new_bucket()
    publish_many(place, 1)
    store = open_store(place)
    store.replace("m/2/model.onnx", b"half")
    assert versions(place, "m") == [1]
    assert prune(place, "m", keep=0).swept == [], "somebody may be at it"
    assert prune(place, "m", keep=0, leftover_age_s=0).swept == [f"{place}/m/2/model.onnx"]
    assert versions(place, "m") == [1]


def test_a_model_that_is_not_there_is_refused(place: str) -> None:
    publish_many(place, 1)
    for name in ("n", "../m"):
        with pytest.raises(RepositoryError, match=r"there is no model|cannot name"):
            prune(place, name, keep=1)
