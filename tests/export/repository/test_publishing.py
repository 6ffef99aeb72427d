"""Versions appear whole or not at all, numbers are never used twice, and copies keep their provenance."""

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository import load_manifest, parse_manifest, publish, publish_copy, verify_files, versions, withdraw
from export.repository.store import open_store
from export.repository.verification import verify
from tests.export.repository.samples import FACTS, names, publish_once, shared, tree


def test_versions_count_up_and_are_described(place: str) -> None:
    assert versions(place, "m") == []
    assert [publish_once(place, bytes([number])).version for number in range(11)] == list(range(1, 12))
    assert versions(place, "m") == list(range(1, 12)), "10 comes after 9, not after 1"
    manifest = load_manifest(place, "m", 3)
    assert manifest.files["model.onnx"]["size"] == 1
    assert not any(check.problems for check in verify(place))
    expected = ["config.pbtxt", "labels.txt", "manifest.json", "model.onnx"]
    assert sorted(open_store(place).files("m", 3)) == expected
    assert {"config.pbtxt", "labels.txt"} <= set(open_store(place).shared_files("m"))


def test_a_folder_holds_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        publish_once(tmp_path / "r")
    assert names(tmp_path) == ["r"]
    assert names(tmp_path / "r") == [".lock", "m"]
    assert names(tmp_path / "r" / "m") == [".last-version", "1", "2", "config.pbtxt", "labels.txt"]


def test_a_number_is_not_used_again_while_a_newer_one_is_there(tmp_path: Path) -> None:
    for _ in range(3):
        publish_once(tmp_path)
    for name in names(tmp_path / "m" / "2"):
        (tmp_path / "m" / "2" / name).unlink()
    (tmp_path / "m" / "2").rmdir()
    assert publish_once(tmp_path).version == 4


def test_a_removed_version_does_not_give_its_number_to_another(place: str) -> None:
    publish_once(place)
    publish_once(place)
    withdraw(place, "m", 2)
    assert versions(place, "m") == [1]
    assert publish_once(place).version == 3


def test_withdrawing_what_is_not_there_is_refused(place: str) -> None:
    publish_once(place)
    with pytest.raises(RepositoryError, match="cannot withdraw"):
        withdraw(place, "m", 7)
    assert versions(place, "m") == [1]


def test_withdrawing_the_newest_serves_the_one_before_as_it_was(place: str) -> None:
    publish_once(place, batch=1)
    publish_once(place, batch=2)
    withdraw(place, "m", 2)
    assert b"max_batch_size: 1" in open_store(place).read("m/config.pbtxt")


def test_an_altered_file_is_found(tmp_path: Path) -> None:
    manifest = publish_once(tmp_path)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"Weights")
    with pytest.raises(RepositoryError, match="not the file that was published"):
        verify_files(tmp_path / "m" / "1", manifest)


@pytest.mark.parametrize(
    "change",
    [
        "{",
        "[]",
        '{"model": "m"}',
        '{"model": "m", "version": "1", "files": {}}',
        '{"model": "m", "version": 1, "files": {"model.onnx": {"sha256": "x", "size": 1}}}',
        '{"model": "m", "version": 1, "files": {"model.onnx": {}}}',
        *(
            json.dumps({"model": "m", "version": 1, "files": {name: {"sha256": "0" * 64, "size": 1}}})
            for name in ("../../x", "/etc/passwd", "a/../../b", "..\\x", "", "manifest.json")
        ),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, change: str) -> None:
    publish_once(tmp_path)
    (tmp_path / "m" / "1" / "manifest.json").write_text(change)
    with pytest.raises(RepositoryError, match="cannot be read"):
        load_manifest(tmp_path, "m", 1)


def test_a_manifest_of_a_later_release_is_read(tmp_path: Path) -> None:
    publish_once(tmp_path)
    path = tmp_path / "m" / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "invented_later": 1}))
    assert load_manifest(tmp_path, "m", 1).version == 1


def test_a_manifest_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    publish_once(tmp_path)
    path = tmp_path / "m" / "1" / "manifest.json"
    values = json.loads(path.read_text())
    del values["origin"]
    path.write_text(json.dumps(values))
    assert load_manifest(tmp_path, "m", 1).origin == {}


def test_unchanged_shared_files_keep_their_time(tmp_path: Path) -> None:
    publish_once(tmp_path)
    os.utime(tmp_path / "m" / "config.pbtxt", (1, 1))
    publish_once(tmp_path)
    assert (tmp_path / "m" / "config.pbtxt").stat().st_mtime == 1


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".hidden", "x\n", "/x", "-x"])
def test_a_name_that_leads_elsewhere_is_refused(place: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot name a model"):
        publish(place, name, {"model.onnx": b"x"}, shared(), FACTS)
    assert tree(tmp_path) == {}


def test_many_publishers_at_once_each_get_a_number(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda number: publish_once(tmp_path, bytes([number])).version, range(24)))
    assert sorted(published) == versions(tmp_path, "m") == list(range(1, 25))
    for version in published:
        manifest = load_manifest(tmp_path, "m", version)
        assert manifest.version == version
        verify_files(tmp_path / "m" / str(version), manifest)


def test_many_publishers_to_a_bucket_at_once_each_get_a_number(new_bucket: Callable[[], str]) -> None:
    place = new_bucket()
    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(lambda number: publish_once(place, bytes([number])), range(8)))
    assert sorted(manifest.version for manifest in published) == versions(place, "m") == list(range(1, 9))
    for manifest in published:
        assert load_manifest(place, "m", manifest.version) == manifest
    assert not any(check.problems for check in verify(place))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Has the kernel refuse to let any file grow beyond so many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_leaves_the_repository_as_it_was(tmp_path: Path) -> None:
    publish_once(tmp_path / "r")
    before = tree(tmp_path)
    with pytest.raises(RepositoryError, match=r"cannot publish .*File too large.*free space"), largest_file(1 << 20):
        publish_once(tmp_path / "r", bytes(2 << 20))
    assert tree(tmp_path) == before


def test_a_file_system_that_takes_nothing_is_named() -> None:
    with pytest.raises(RepositoryError, match=r"cannot publish to /proc/r/m"):
        publish_once(Path("/proc/r"))


def test_a_repository_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="is a file: give the folder of a repository"):
        publish_once(tmp_path / "file")


def test_a_configuration_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot be read"):
        publish(tmp_path / "r", "m", {"model.onnx": b"x"}, {"config.pbtxt": "max_batch_size: many"}, FACTS)
    assert tree(tmp_path) == {}


def test_a_reader_never_sees_half_a_version(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        writer = pool.submit(lambda: [publish_once(tmp_path, os.urandom(200_000)) for _ in range(20)])
        deadline = time.monotonic() + 200
        while not writer.done() and time.monotonic() < deadline:
            for version in versions(tmp_path, "m"):
                folder = tmp_path / "m" / str(version)
                verify_files(folder, parse_manifest((folder / "manifest.json").read_bytes(), str(folder)))
                assert (tmp_path / "m" / "config.pbtxt").exists()
        writer.result()
    assert versions(tmp_path, "m") == list(range(1, 21))


def test_a_file_with_a_number_for_a_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1").touch()
    (tmp_path / "m" / "007").mkdir()
    assert publish_once(tmp_path).version == 2
    assert versions(tmp_path, "m") == [2]


def test_a_copy_keeps_its_provenance(place: str, tmp_path: Path) -> None:
    for number in range(3):
        original = publish_once(tmp_path / "staging", bytes([number]))
    copy = publish_copy(tmp_path / "staging" / "m" / "3", place)
    assert copy.version == 1 and copy == load_manifest(place, "m", 1)
    assert (copy.source, copy.data, copy.metrics, copy.files) == (
        original.source,
        original.data,
        original.metrics,
        original.files,
    )
    assert copy.origin["repository"] == str(tmp_path / "staging") and copy.origin["version"] == 3
    again = publish_copy(f"{place}/m/1", tmp_path / "third")
    assert again.origin["origin"] == copy.origin
    assert not any(check.problems for check in verify(place))
    assert tree(tmp_path / "third" / "m" / "1")["model.onnx"] == b"\x02"


def test_the_same_files_are_not_published_twice_by_accident(place: str, tmp_path: Path) -> None:
    publish_once(tmp_path / "staging")
    source = tmp_path / "staging" / "m" / "1"
    publish_copy(source, place)
    with pytest.raises(RepositoryError, match=r"m 1 in .* these very files already"):
        publish_copy(source, place)
    assert versions(place, "m") == [1]
    assert publish_copy(source, place, again=True).version == 2


def test_a_number_can_be_chosen_once(place: str, tmp_path: Path) -> None:
    publish_once(tmp_path / "staging")
    source = tmp_path / "staging" / "m" / "1"
    publish_once(place)
    assert publish_copy(source, place, number=7, again=True).version == 7
    for spent in (1, 5, 7):
        with pytest.raises(RepositoryError, match="has used the numbers of m up to 7"):
            publish_copy(source, place, number=spent, again=True)
    assert publish_once(place).version == 8


@pytest.mark.parametrize("source", ["m/1", "nowhere/m/1", "staging/m/9", "staging/m/x", "1", "staging/../m/1/.."])
def test_a_source_that_is_none_is_refused(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_once(tmp_path / "staging")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RepositoryError, match=r"is not a version|there is no (version|model|repository)"):
        publish_copy(source, "target")
    assert not (tmp_path / "target").exists()


def test_a_damaged_source_is_not_copied(place: str, tmp_path: Path) -> None:
    publish_once(tmp_path / "staging")
    (tmp_path / "staging" / "m" / "1" / "model.onnx").write_bytes(b"Weights")
    with pytest.raises(RepositoryError, match=r"m/1/model\.onnx"):
        publish_copy(tmp_path / "staging" / "m" / "1", place)
    assert versions(place, "m") == []


def test_a_model_made_by_hand_gets_a_manifest(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "by_hand" / "m"
    (folder / "1" / "parts").mkdir(parents=True)
    (folder / "1" / "__pycache__").mkdir()
    (folder / "config.pbtxt").write_text('name: "m"\nbackend: "python"\n')
    (folder / "1" / "model.py").write_text("pass\n")
    (folder / "1" / "parts" / "more.py").write_text("pass\n")
    (folder / "1" / "__pycache__" / "model.pyc").write_bytes(b"x")
    manifest = publish_copy(folder / "1", place)
    assert set(manifest.files) == {"config.pbtxt", "model.py", "parts/more.py"}
    assert not any(check.problems or check.notices for check in verify(place))
