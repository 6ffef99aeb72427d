"""Starts Airflow on this machine with the DAGs beside this file, and stops it with all that it started.

    make airflow                                  # which calls
    .airflow/bin/python airflow/start.py          # this, by the environment that Airflow is installed in
    .airflow/bin/python airflow/start.py --port 8089 --home /tmp/another

It uses SQLite and the LocalExecutor, listens on loopback only and keeps all its state in one folder. Ctrl-C or SIGTERM
stops it with all its processes; a task that was running is run again after the next start.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import IO, Any

with contextlib.suppress(ImportError):  # Airflow brings it; without Airflow, check_environment names the fix
    import psutil

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 600  # twenty seconds on an idle machine, minutes on a busy one
GRACE_SECONDS = 20  # for Airflow to stop its processes; then they get SIGTERM, and later SIGKILL
TERM_SECONDS = 10
MARK = "SIGNS_STARTED_IN"  # environment variable that marks all processes of this Airflow
USER, PASSWORDS = "admin", "passwords.json"  # Airflow generates the password and writes it to the file
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LIBC = ctypes.CDLL(None)


class StartError(Exception):
    """Airflow cannot start or has ended; the message names the fix."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM was received."""


def main() -> None:
    """Runs Airflow until it is stopped; exits with 1 if it cannot start or ends by itself."""
    parser = argparse.ArgumentParser(
        description="Starts Airflow with the project's DAGs on this machine until Ctrl-C.",
        epilog="Example: make airflow PORT=8089",
    )
    parser.add_argument("--port", type=int, default=8088, help="of the interface, on 127.0.0.1 (8088)")
    parser.add_argument("--home", type=Path, default=ROOT / "runs" / "airflow", help="for its state (runs/airflow)")
    parser.add_argument(
        "--dags", type=Path, default=ROOT / "airflow" / "dags", help="folder with the DAGs (airflow/dags)"
    )
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        run(arguments.port, arguments.home.resolve(), arguments.dags.resolve())
    except StartError as error:
        sys.exit(f"airflow: {error}")
    except Stopped:
        pass  # before anything was started


def run(port: int, home: Path, dags: Path) -> None:
    """Starts Airflow with its state in `home`, prints its address and login, and stops it on request.

    Raises StartError if Airflow cannot start, or has ended by itself.
    """
    check_environment()
    if not any(dags.glob("*.py")):
        raise StartError(f"no DAGs in {dags}")
    with lock_home(home, port):
        end_leftovers(home)
        check_port(port)
        log = home / "standalone.log"
        print(f"starting Airflow {metadata.version('apache-airflow')}; log: {log}", flush=True)
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphaned descendants become children, so that they can be stopped
        begun = datetime.now(UTC)
        with log.open("wb") as stream:
            process = start(port, home, dags, stream)
        try:
            wait_until_healthy(process, port, log)
            announce(process, port, home, begun)
            while process.poll() is None:
                check_parts(process, log)
                reap(process)
                time.sleep(0.5)
            raise StartError(f"it ended by itself (exit code {process.returncode}):\n{tail(log)}")
        except Stopped:
            print("\nstopping Airflow", flush=True)
        finally:
            stop(process)
        print("stopped", flush=True)


def check_environment() -> None:
    """Raises StartError if the running Python has no complete Airflow."""
    repair = f"rm -r {sys.prefix}, and then make airflow" if sys.prefix != sys.base_prefix else "make airflow"
    try:
        installed = metadata.version("apache-airflow")
    except metadata.PackageNotFoundError:
        raise StartError(f"{sys.executable} has no Airflow: {repair}") from None
    if not os.access(Path(sys.prefix, "bin", "airflow"), os.X_OK):
        raise StartError(f"Airflow {installed} is incomplete, its command is missing: {repair}")


@contextlib.contextmanager
def lock_home(home: Path, port: int) -> Iterator[None]:
    """Locks `home` for this process; the kernel releases the lock of a killed process.

    Raises StartError if another process has the lock, or the folder is not writable.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)  # it contains the password
        stream = (home / "lock").open("a+")
    except OSError as error:
        raise StartError(f"cannot keep its state in {home}: {error.strerror}") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise StartError(f"already running with its state in {home}: {stream.read().strip()}") from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()}, http://localhost:{port}\n")
        stream.flush()
        yield


def check_port(port: int) -> None:
    """Raises StartError if the port is invalid or taken."""
    if not 0 < port < 65536:
        raise StartError(f"cannot listen on port {port} (not a port): make airflow PORT=8089")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartError(f"cannot listen on port {port} ({error.strerror}): make airflow PORT=8089") from None


def settings(port: int, home: Path, dags: Path) -> dict[str, str]:
    """Returns the environment that Airflow runs in."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("", 0))
        worker_logs, trigger_logs = (probe.getsockname()[1] for probe in (first, second))
    airflow = {
        "AIRFLOW_HOME": str(home),
        MARK: str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "false",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / PASSWORDS),
        # Nothing is trained before the user switches a DAG on, which the trigger form also does.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "true",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        # Tasks report to this address; its default port is 8080.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
        # A training on the same machine slows every answer; tasks must not fail because of that.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "20",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
        # A new DAG file is found within half a minute.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
    }
    # Airflow starts its processes by name.
    path = os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)])
    return {**os.environ, **airflow, **network_settings(), "PATH": path, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


def network_settings() -> dict[str, str]:
    """Returns variables that keep proxies out of loopback connections and switch off telemetry."""
    exempt = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    exempt = exempt if exempt == "*" else ",".join(filter(None, (exempt, "localhost", "127.0.0.1")))
    return {"no_proxy": exempt, "NO_PROXY": exempt, "DO_NOT_TRACK": "1"}


def start(port: int, home: Path, dags: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts Airflow in its own process group, which Ctrl-C in the terminal does not reach."""
    program = Path(sys.prefix, "bin", "airflow")
    parent = os.getpid()

    def end_with_parent() -> None:
        # If this process is killed, the kernel interrupts Airflow, which then stops its processes.
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen(
        [program, "standalone"],
        cwd=ROOT,
        env=settings(port, home, dags),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )


def wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits until all components are healthy; raises StartError if Airflow ends, or is not healthy in time."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"it ended while it started (exit code {process.returncode}):\n{tail(log)}")
        with contextlib.suppress(OSError, ValueError):
            parts = ask(port, "/api/v2/monitor/health")
            if all(part["status"] == "healthy" for part in parts.values()):
                return
        check_parts(process, log)
        reap(process)
        time.sleep(0.5)
    raise StartError(f"it is not healthy after {START_SECONDS} seconds:\n{tail(log)}")


def check_parts(process: subprocess.Popen[bytes], log: Path) -> None:
    """Raises StartError if a component has ended: Airflow itself continues without it, but runs no task."""
    ended = zombies(process.pid)
    if ended:
        time.sleep(2)  # Airflow reaps its other children in this time
        if ended & zombies(process.pid):
            raise StartError(f"one of its parts has ended, and without it no task runs:\n{tail(log)}")


def zombies(parent: int) -> set[psutil.Process]:
    """Returns the zombie children of a process."""
    with contextlib.suppress(psutil.NoSuchProcess):  # one was reaped meanwhile
        return {child for child in psutil.Process(parent).children() if child.status() == psutil.STATUS_ZOMBIE}
    return set()


def announce(process: subprocess.Popen[bytes], port: int, home: Path, begun: datetime) -> None:
    """Prints the address, the login, the DAGs and their import errors.

    Raises StartError if the login fails, or no DAG is loaded after START_SECONDS.
    """
    try:
        password = json.loads((home / PASSWORDS).read_text())[USER]
        print(f"address   http://localhost:{port}\nlogin     {USER}\npassword  {password}", flush=True)
        token = ask(port, "/auth/token", body={"username": USER, "password": password})["access_token"]
        dags, errors = wait_for_dags(process, port, token, begun)
    except (OSError, ValueError, KeyError) as error:
        raise StartError(f"unexpected answer of its interface: {error!r}") from error
    print(f"DAGs      {', '.join(sorted(dags)) or 'none'}")
    for each in errors:
        print(f"{each['filename']} cannot be imported:\n{each['stack_trace']}")
    print("Ctrl-C stops it", flush=True)


def wait_for_dags(
    process: subprocess.Popen[bytes], port: int, token: str, begun: datetime
) -> tuple[list[str], list[dict[str, str]]]:
    """Returns the names of the DAGs and the import errors, once they date from this start and no longer change."""
    before: tuple[list[str], list[dict[str, str]]] = ([], [])
    while process.poll() is None:
        errors = ask(port, "/api/v2/importErrors?limit=100", token)["import_errors"]
        dags = ask(port, "/api/v2/dags?limit=100", token)["dags"]
        times = [dag["last_parsed_time"] for dag in dags] + [error["timestamp"] for error in errors]
        found = ([dag["dag_id"] for dag in dags], errors)
        if found == before and any(datetime.fromisoformat(each) >= begun for each in times):
            break
        if datetime.now(UTC) > begun + timedelta(seconds=START_SECONDS):
            raise ValueError(f"no DAG was read in {START_SECONDS} seconds")
        before = found
        reap(process)
        time.sleep(2)
    return before


def ask(port: int, path: str, token: str | None = None, body: dict[str, str] | None = None) -> Any:
    """Returns the decoded answer of Airflow's interface.

    Raises OSError if it does not answer or refuses the request, ValueError if the answer is not JSON.
    """
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    # Without a proxy.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        return json.load(response)


def tail(log: Path, lines: int = 25) -> str:
    """Returns the end of the log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def prctl(option: int, value: int) -> None:
    """Sets an attribute of this process; only Linux has the call."""
    if hasattr(LIBC, "prctl"):
        LIBC.prctl(option, value)


def reap(process: subprocess.Popen[bytes]) -> None:
    """Reaps adopted processes that have ended, but not `process` itself."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == process.pid:
            return
        os.waitpid(ended.si_pid, 0)


def end_leftovers(home: Path) -> None:
    """Ends processes of a killed Airflow with the same state, or their tasks would run twice."""
    if left := leftovers(home):
        print(f"ending {len(left)} processes of an Airflow that was killed", flush=True)
        end_all(lambda: leftovers(home))


def leftovers(home: Path) -> set[psutil.Process]:
    """Returns the processes that are marked with this folder, and their descendants, which may lack the mark."""
    found = {each for each in psutil.process_iter(["environ"]) if (each.info["environ"] or {}).get(MARK) == str(home)}
    for marked in [*found]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update(marked.children(recursive=True))
    return found


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends Airflow and its descendants by SIGINT, after GRACE_SECONDS by SIGTERM, and at last by SIGKILL."""
    _ignore_signals()

    def descendants() -> list[psutil.Process]:
        process.poll()
        reap(process)
        return psutil.Process().children(recursive=True)  # also zombies: a thread of one may still run, with children

    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        wait_until_ended(descendants, GRACE_SECONDS)
    end_all(descendants)


def end_all(find: Callable[[], Collection[psutil.Process]]) -> None:
    """Ends the processes that `find` returns, by SIGTERM, and those that are left after TERM_SECONDS by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for each in find():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)
        wait_until_ended(find, TERM_SECONDS)


def wait_until_ended(find: Callable[[], Collection[psutil.Process]], seconds: float) -> None:
    """Waits until `find` returns no process, but at most `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and find():
        time.sleep(0.1)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    _ignore_signals()
    raise Stopped


if __name__ == "__main__":
    main()
