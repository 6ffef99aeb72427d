"""Tests of `signs data fetch`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.data.file_server import FileServer, running_file_server
from tests.training.signs_command import Signs
from tests.training.tiny_gtsdb import write_tiny_gtsdb
from training.data.download import CHUNK
from training.data.fetch import BENCHMARKS


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs every test in an empty folder, and lets no proxy come between it and its own server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server that has a GTSDB of seven scenes."""
    tiny = replace(BENCHMARKS["gtsdb"], counts={"train": (5, 8), "test": (2, 3)})
    monkeypatch.setitem(BENCHMARKS, "gtsdb", tiny)
    source = tmp_path / "source"
    source.mkdir()
    with running_file_server() as state:
        state.files["FullIJCNN2013.zip"] = write_tiny_gtsdb(source).zip.read_bytes()
        state.headers["ETag"] = '"1"'
        yield state


def _problem(captured: str) -> str:
    """Returns the one line that a failed command must say."""
    (line,) = [line for line in captured.splitlines() if line.strip()]
    assert line.startswith("signs: ")
    return line


def test_fetched_benchmark_is_reported_with_its_terms_and_the_next_commands(
    signs: Signs, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signs("data", "fetch", "gtsdb", "--from", server.address) == 0

    captured = capsys.readouterr()
    path = "data/gtsdb/FullIJCNN2013.zip"
    first, credit, check, train = captured.out.splitlines()
    assert first.startswith("fetched 0.") and first.endswith(f": {path}")
    assert "Ruhr-Universität Bochum" in credit and "10.1109/IJCNN.2013.6706807" in credit
    assert check == f"next: signs data check {path}"
    assert train == f"      signs train classifier --data gtsdb={path}"
    assert "downloading FullIJCNN2013.zip (MB)" in captured.err
    assert Path(path).read_bytes() == server.files["FullIJCNN2013.zip"]


def test_second_call_says_that_all_is_there(
    signs: Signs, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signs("data", "fetch", "gtsdb", "--from", server.address, "--to", "my data") == 0
    server.requests.clear()
    capsys.readouterr()

    assert signs("data", "fetch", "gtsdb", "--from", server.address, "--to", "my data") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "there and whole: my data/FullIJCNN2013.zip"
    assert lines[-1] == "      signs train classifier --data gtsdb='my data/FullIJCNN2013.zip'"
    assert server.requests == []


def test_json_is_all_that_is_printed(signs: Signs, server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert signs("data", "fetch", "gtsdb", "--from", server.address, "--to", "here", "--json") == 0

    result = json.loads(capsys.readouterr().out)
    assert result.pop("seconds") > 0
    size = len(server.files["FullIJCNN2013.zip"])
    assert result == {"path": "here/FullIJCNN2013.zip", "bytes": size, "files": 1}


def test_wrong_file_ends_with_code_1_and_one_line(
    signs: Signs, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["FullIJCNN2013.zip"] = b"no zip"

    assert signs("data", "fetch", "gtsdb", "--from", server.address, "--json") == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "it is not a complete zip archive" in _problem(captured.err.splitlines()[-1])
    assert list(Path("data/gtsdb").iterdir()) == []


@pytest.mark.parametrize("mirror", ["ftp://127.0.0.1/gtsdb", "file:///tmp", "somewhere"])
def test_other_addresses_end_with_code_1_and_one_line(
    signs: Signs, capsys: pytest.CaptureFixture[str], mirror: str
) -> None:
    assert signs("data", "fetch", "gtsdb", "--from", mirror) == 1
    assert "is not a web address" in _problem(capsys.readouterr().err)
    assert not Path("data").exists()


def test_file_in_place_of_the_folder_ends_with_code_1_and_one_line(
    signs: Signs, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").write_text("x")

    assert signs("data", "fetch", "gtsdb", "--from", server.address) == 1
    assert "data" in _problem(capsys.readouterr().err)


def test_unknown_benchmark_ends_with_code_2(signs: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    assert signs("data", "fetch", "coco") == 2
    assert "gtsdb" in capsys.readouterr().err


def test_ctrl_c_keeps_what_has_come(server: FileServer, tmp_path: Path) -> None:
    content = bytes(4 * CHUNK)
    server.files["FullIJCNN2013.zip"] = content
    server.cuts = [3 * CHUNK]
    server.stalls = True
    partial = tmp_path / "FullIJCNN2013.zip.partial"
    command = [sys.executable, "-c", "from clients.command.main import main; main()", "data", "fetch", "gtsdb"]
    options = ["--to", str(tmp_path), "--from", server.address]
    environment = os.environ | {"no_proxy": "127.0.0.1"}
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            # What has been written is only seen once a buffer is full or the file is closed: wait for the first of it.
            while not (partial.exists() and partial.stat().st_size) and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 130
    assert said.splitlines()[-1] == "signs: stopped"
    assert partial.read_bytes() == content[: partial.stat().st_size]
    assert CHUNK <= partial.stat().st_size <= 3 * CHUNK
    assert not (tmp_path / "FullIJCNN2013.zip").exists()
    assert not (tmp_path / ".fetch.lock").exists()
