"""Versions appear whole or not at all, and numbers are never used twice."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from export import repository as module
from export.errors import RepositoryError
from export.repository import Manifest, load_manifest, publish, verify_files, versions, withdraw

FACTS: dict[str, Any] = {
    "source": {},
    "data": {},
    "opset": 20,
    "ir_version": 10,
    "precision": "fp32",
    "inputs": [],
    "outputs": [],
    "parity": {},
    "metrics": {},
}
SHARED = {"config.pbtxt": 'name: "m"\n', "labels.txt": "a\nb\n"}


def publish_once(repository: Path, content: bytes = b"weights") -> Manifest:
    return publish(repository, "m", {"model.onnx": content}, SHARED, FACTS)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_versions_count_up_and_are_described(tmp_path: Path) -> None:
    assert versions(tmp_path, "m") == []
    assert [publish_once(tmp_path, bytes([number])).version for number in range(11)] == list(range(1, 12))
    assert versions(tmp_path, "m") == list(range(1, 12)), "10 comes after 9, not after 1"
    manifest = load_manifest(tmp_path, "m", 3)
    assert manifest.files["model.onnx"]["size"] == 1
    verify_files(tmp_path / "m" / "3", manifest)
    assert names(tmp_path / "m" / "3") == ["manifest.json", "model.onnx"]
    assert names(tmp_path / "m") == sorted([*map(str, range(1, 12)), ".last-version", "config.pbtxt", "labels.txt"])


def test_a_number_is_not_used_again_while_a_newer_one_is_there(tmp_path: Path) -> None:
    for _ in range(3):
        publish_once(tmp_path)
    (tmp_path / "m" / "2" / "model.onnx").unlink()
    (tmp_path / "m" / "2" / "manifest.json").unlink()
    (tmp_path / "m" / "2").rmdir()
    assert publish_once(tmp_path).version == 4


def test_an_altered_file_is_found(tmp_path: Path) -> None:
    manifest = publish_once(tmp_path)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"Weights")
    with pytest.raises(RepositoryError, match="not the file that was published"):
        verify_files(tmp_path / "m" / "1", manifest)


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    publish_once(tmp_path)
    (tmp_path / "m" / "1" / "manifest.json").write_text("{")
    with pytest.raises(RepositoryError, match="cannot be read"):
        load_manifest(tmp_path, "m", 1)


def test_unchanged_shared_files_keep_their_time(tmp_path: Path) -> None:
    publish_once(tmp_path)
    os.utime(tmp_path / "m" / "config.pbtxt", (1, 1))
    publish_once(tmp_path)
    assert (tmp_path / "m" / "config.pbtxt").stat().st_mtime == 1


def test_many_publishers_at_once_each_get_a_number(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda number: publish_once(tmp_path, bytes([number])).version, range(24)))
    assert sorted(published) == versions(tmp_path, "m") == list(range(1, 25))
    for version in published:
        manifest = load_manifest(tmp_path, "m", version)
        assert manifest.version == version
        verify_files(tmp_path / "m" / str(version), manifest)


def test_a_full_disk_leaves_the_repository_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_once(tmp_path)
    before = names(tmp_path / "m")

    def full(path: Path, content: bytes) -> None:
        """Stands in for a disk without space, which cannot be had here without rights to mount one."""
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(RepositoryError, match=r"No space left.*free space"):
        publish_once(tmp_path)
    assert names(tmp_path / "m") == before


def test_a_repository_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="cannot publish"):
        publish_once(tmp_path / "file")


@pytest.mark.parametrize("step", range(1, 11))
def test_kill_9_at_any_step_leaves_whole_versions_only(tmp_path: Path, step: int) -> None:
    """A child publishes and is killed with SIGKILL just before its n-th change of the disk."""
    publish_once(tmp_path)
    code = f"""
        import os, signal, pathlib
        from export import repository as module
        from tests.export.test_repository import publish_once
        left = {step}
        def killing(real):
            def call(*args, **kwargs):
                global left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)
            return call
        module._write = killing(module._write)
        module._replace = killing(module._replace)
        module.verify_files = killing(module.verify_files)
        pathlib.Path.rename = killing(pathlib.Path.rename)
        module._sync_folder = killing(module._sync_folder)
        publish_once(pathlib.Path({str(tmp_path)!r}), b"new")
    """
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=root)
    assert result.returncode in (0, -signal.SIGKILL)
    for version in versions(tmp_path, "m"):
        verify_files(tmp_path / "m" / str(version), load_manifest(tmp_path, "m", version))
    numbered = [name for name in names(tmp_path / "m") if name.isdigit()]
    assert numbered in (["1"], ["1", "2"])
    assert (numbered == ["1"]) or step >= 9, "a version appears with the rename and not before"
    assert publish_once(tmp_path).version > len(numbered), "the next publisher is not in the way of the dead one"


def test_a_reader_never_sees_half_a_version(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(lambda: [publish_once(tmp_path, os.urandom(200_000)) for _ in range(20)])]
        deadline = time.monotonic() + 60
        while not all(writer.done() for writer in writers) and time.monotonic() < deadline:
            for version in versions(tmp_path, "m"):
                folder = tmp_path / "m" / str(version)
                manifest = Manifest(**json.loads((folder / "manifest.json").read_text()))
                verify_files(folder, manifest)
        for writer in writers:
            writer.result()
    assert versions(tmp_path, "m") == list(range(1, 21))


def test_a_removed_version_does_not_give_its_number_to_another(tmp_path: Path) -> None:
    publish_once(tmp_path)
    publish_once(tmp_path)
    withdraw(tmp_path, "m", 2)
    assert versions(tmp_path, "m") == [1]
    assert publish_once(tmp_path).version == 3


def test_withdrawing_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot withdraw"):
        withdraw(tmp_path, "m", 1)


def test_a_file_with_a_number_for_a_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1").touch()
    assert publish_once(tmp_path).version == 2
