"""A real tritonserver starts, serves, stops, and is never left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from export.repository import Manifest
from serving.errors import ServingError
from serving.install import Installation
from serving.server import Ports, check_ports, free_ports, running_server

pytestmark = pytest.mark.end_to_end


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


def children(pid: int) -> list[int]:
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [grandchild for child in found for grandchild in children(child)]


def wait_until(condition: object, seconds: float = 60) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_stops_with_the_block_and_takes_its_stubs_along(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    with running_server(installation, repository, tmp_path / "log") as server:
        with urllib.request.urlopen(f"http://{server.http_url}/v2/health/ready") as response:
            assert response.status == 200
        family = [server.process.pid, *children(server.process.pid)]
        assert len(family) > 1, "the stand-in backend runs in a stub of its own"
    assert not any(alive(pid) for pid in family)
    check_ports(server.host, server.ports)  # they are free again


def test_stops_when_the_block_raises(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        running_server(installation, repository, tmp_path / "log") as server,
    ):
        raise KeyboardInterrupt
    assert server.process.returncode is not None


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
    ],
)
def test_a_killed_parent_leaves_no_server(
    how: signal.Signals, installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from serving.install import find_or_install
        from serving.server import running_server
        installation = find_or_install(Path({str(Path(".tritonserver").resolve())!r}), print)
        with running_server(installation, Path({str(repository)!r}), Path({str(tmp_path / "log")!r})) as server:
            print(server.process.pid, flush=True)
            time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None and parent.stderr is not None
    pid = int(parent.stdout.readline())
    family = [pid, *children(pid)]
    parent.send_signal(how)
    parent.wait(60)
    parent.stdout.close()
    parent.stderr.close()
    assert wait_until(lambda: not any(alive(each) for each in family)), "the server outlived its parent"


def test_a_port_in_use_is_named_before_anything_starts(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    ports = free_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.grpc))
        taken.listen()
        with (
            pytest.raises(ServingError, match=rf"{ports.grpc} .*in use.*--grpc-port"),
            running_server(installation, repository, tmp_path / "log", ports),
        ):
            pass
    assert not (tmp_path / "log").exists()


def test_the_same_port_twice_is_refused() -> None:
    with pytest.raises(ServingError, match="a port each"):
        check_ports("127.0.0.1", Ports(8000, 8000, 8002))


def test_an_empty_repository_says_how_to_fill_it(installation: Installation, tmp_path: Path) -> None:
    with (
        pytest.raises(ServingError, match=r"no model in .*make demo"),
        running_server(installation, tmp_path, tmp_path / "log"),
    ):
        pass


def test_a_damaged_model_ends_with_the_reason(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(repository, copy)
    model = copy / "sign_classifier" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:5000])
    with (
        pytest.raises(ServingError, match=r"failed to load 'sign_classifier' version 1"),
        running_server(installation, copy, tmp_path / "log"),
    ):
        pass


def test_a_binary_that_cannot_run_is_reported(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    script = tmp_path / "tritonserver"
    script.write_text("#!/bin/sh\necho 'tritonserver: error while loading shared libraries: libx.so' >&2\nexit 127\n")
    script.chmod(0o755)
    with (
        pytest.raises(ServingError, match=r"ended at once with exit code 127: .*libx\.so"),
        running_server(Installation(script, {}, [], "broken"), repository, tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize("aborts", [1, 3])
def test_a_server_that_aborts_while_it_starts_is_started_again(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path, aborts: int
) -> None:
    """The abort of Triton's Python backend on a busy machine cannot be caused at will: a script stands in for it."""
    script, starts = tmp_path / "tritonserver", tmp_path / "starts"
    script.write_text(
        f"#!/bin/sh\necho >> '{starts}'\n"
        f"[ $(wc -l < '{starts}') -gt {aborts} ] && exec '{installation.binary}' \"$@\"\n"
        'echo "  what():  boost::interprocess::lock_exception" >&2\nkill -ABRT $$\n'
    )
    script.chmod(0o755)
    server = running_server(replace(installation, binary=script, home=None), repository, tmp_path / "log")
    if aborts == 3:
        with pytest.raises(ServingError, match=r"SIGABRT.*lock_exception"), server:
            pass
    else:
        with server as running, urllib.request.urlopen(f"http://{running.http_url}/v2/health/ready") as answer:
            assert answer.status == 200
    assert len(starts.read_text().splitlines()) == min(aborts + 1, 3)


def test_the_python_of_any_server_is_reported_to_leave_no_caches(
    repository: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a tritonserver that the machine has by itself, whose Python is not ours to arrange."""
    script = tmp_path / "tritonserver"
    script.write_text("#!/bin/sh\necho caches: ${PYTHONDONTWRITEBYTECODE:-left} >&2\n")
    script.chmod(0o755)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    with (
        pytest.raises(ServingError, match="ended at once with exit code 0: caches: 1"),
        running_server(Installation(script, {}, [], "the machine's own"), repository, tmp_path / "log"),
    ):
        pass
