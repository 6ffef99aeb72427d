"""Tests of airflow/start.py with a real Airflow: what `make airflow` starts, prints, and leaves behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.server import free_ports
from tests.airflow.airflow_environment import NO_AIRFLOW

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "airflow" / "start.py"
PATIENCE_S = 600  # a busy machine is slow, and a test must not fail for that
SLEEPER = """
from airflow.sdk import dag, task

@dag(schedule=None)
def sleeper():
    @task.bash
    def sleep():
        return "sleep 3600"

    sleep()

sleeper()
"""

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of the environment that `make airflow` installs."""
    found = Path(os.environ.get("SIGNS_AIRFLOW", ROOT / ".airflow")) / "bin" / "python"
    if not found.exists():
        pytest.skip(NO_AIRFLOW)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for the state of Airflow; whatever uses it still after the test is killed."""
    yield tmp_path / "home"
    for pid in using(tmp_path / "home"):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """A folder with a DAG whose task has much time, and one that cannot be imported."""
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "sleeper.py").write_text(SLEEPER)
    (folder / "broken.py").write_text("from airflow.sdk import dag\nraise ValueError('no such setting')\n")
    return folder


def command(python: Path, home: Path, dags: Path, port: int) -> list[str]:
    return [str(python), str(SCRIPT), "--port", str(port), "--home", str(home), "--dags", str(dags)]


def using(home: Path) -> list[int]:
    """Returns the processes that were started with this folder for their state."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and f"AIRFLOW_HOME={home}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has just ended, or is another user's
    return found


def descendants(pid: int) -> set[int]:
    """Returns what a process has started, and so on; some of Airflow's hide their variables behind their title."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def wait_for(what: str, is_so: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = is_so()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not in {PATIENCE_S} s")


def ask(port: int, path: str, token: str = "", body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode() if body else None, method=method
    )
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def refusal(arguments: list[str]) -> str:
    """Runs a command that must end by itself with code 1, and returns what it says."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_starts_reports_and_stops_with_a_task_at_work(python: Path, home: Path, dags: Path) -> None:
    port = free_ports().http
    printed = home.with_name("printed.txt")
    # Its parts, and the task, reach its API server past a proxy that is not there.
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    with printed.open("w") as stream:
        process = subprocess.Popen(
            command(python, home, dags, port), stdout=stream, stderr=stream, env={**os.environ, **proxies}
        )
    try:
        wait_for("ready", lambda: process.poll() is not None or "Ctrl-C" in printed.read_text())
        output = printed.read_text()

        lines = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[-1] for line in output.splitlines() if line}
        assert lines["address"] == f"http://localhost:{port}"
        assert lines["DAGs"] == "sleeper" and "no such setting" in output
        health = ask(port, "/api/v2/monitor/health")
        assert {name: part["status"] for name, part in health.items()} == dict.fromkeys(health, "healthy")
        assert {"metadatabase", "scheduler", "dag_processor", "triggerer"} <= set(health)
        assert home.stat().st_mode & 0o077 == 0, "the login lies in it"
        with pytest.raises(ConnectionRefusedError):  # which it would not be if it listened to more than itself
            socket.create_connection(("127.0.0.2", port), timeout=60)

        login = {"username": lines["login"], "password": lines["password"]}
        token = ask(port, "/auth/token", body=login)["access_token"]
        (dag,) = ask(port, "/api/v2/dags", token)["dags"]
        assert dag["is_paused"], "nothing begins by itself"

        assert f"process {process.pid}" in refusal(command(python, home, dags, free_ports().http))
        assert "make airflow PORT=" in refusal(command(python, home.with_name("other"), dags, port))

        ask(port, "/api/v2/dags/sleeper", token, {"is_paused": False}, "PATCH")
        ask(port, "/api/v2/dags/sleeper/dagRuns", token, {"logical_date": None})
        wait_for("the task", lambda: any(b"sleep\x003600" in _command_line(pid) for pid in using(home)))
        started = descendants(process.pid)
        assert len(started) > 6
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGINT)  # an impatient one: it must not cut the end short
        assert process.wait(PATIENCE_S) == 0
        assert printed.read_text().endswith("stopped\n")
        assert using(home) == [] and not any(Path(f"/proc/{pid}").exists() for pid in started)
    finally:
        process.kill()
        process.wait()


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_one_that_is_ended_while_it_starts(
    python: Path, home: Path, dags: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(command(python, home, dags, free_ports().http), stdout=subprocess.DEVNULL)
    try:
        wait_for("its parts", lambda: process.poll() is not None or len(using(home)) >= 4)
        started = descendants(process.pid)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        wait_for(
            "the end of all", lambda: not using(home) and not any(Path(f"/proc/{pid}").exists() for pid in started)
        )
        # What is left of one that was killed keeps nobody out.
        assert not _is_held(home / "lock")
    finally:
        process.kill()
        process.wait()


def test_what_one_that_was_killed_has_left_ends_before_another_begins(python: Path, home: Path, dags: Path) -> None:
    """Of a task at work, say: the first start fails for its port, so that no more than that is looked at."""
    stubborn = ["sh", "-c", "trap '' TERM; echo; sleep 3600"]
    left, foreign = (
        subprocess.Popen(
            stubborn,
            env={**os.environ, "SIGNS_STARTED_IN": str(folder), "AIRFLOW_HOME": str(home)},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for folder in (home, home.with_name("another"))
    )
    try:
        for each in (left, foreign):
            assert each.stdout and each.stdout.readline() == b"\n"
        below = descendants(left.pid)
        assert "cannot listen on port 0" in refusal(command(python, home, dags, 0))
        # All are killed in no order: a shell that sees its `sleep` die first exits with that signal's code.
        assert left.wait(PATIENCE_S) in (-signal.SIGKILL, 128 + signal.SIGKILL) and foreign.poll() is None
        assert below and not below & set(using(home))
    finally:
        for each in (left, foreign):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            each.communicate()


@pytest.mark.long
def test_one_whose_part_is_killed_says_so_and_ends(python: Path, home: Path, dags: Path) -> None:
    arguments = command(python, home, dags, free_ports().http)
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("a part", lambda: process.poll() is not None or _triggerers(home))
        os.kill(min(_triggerers(home)), signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1 and "has ended" in said
        assert using(home) == []
    finally:
        process.kill()
        process.wait()


def _triggerers(home: Path) -> list[int]:
    return [pid for pid in using(home) if _command_line(pid).endswith(b"\0triggerer\0")]


def _is_held(lock: Path) -> bool:
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-c", code, lock], capture_output=True).returncode != 0


def test_says_what_is_wrong_before_it_starts_anything(python: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "one.py").touch()

    assert "no DAGs in" in refusal(command(python, home, tmp_path / "empty", 8080))
    assert "cannot listen on port 0" in refusal(command(python, home, tmp_path / "dags", 0))
    assert "cannot listen on port 70000" in refusal(command(python, home, tmp_path / "dags", 70000))
    assert "cannot keep its state in" in refusal(command(python, tmp_path / "file" / "home", tmp_path / "dags", 8080))
    assert "has no Airflow: " in refusal(command(Path(sys.executable), home, tmp_path / "dags", 8080))
    assert not using(home)


def test_make_starts_it_with_the_projects_dags() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "airflow", "PORT=8099"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ".airflow/bin/python airflow/start.py --port 8099"
