"""A real Airflow for tests: scheduler, API server, DAG processor and triggerer, with SQLite and the local executor."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.airflow.airflow_environment import airflow_environment, settings_of_airflow

LONG_S = 1500.0  # a busy machine takes many times as long as an idle one
STOP_S = 20.0  # nothing is wanted of it any more
ENDS = ("success", "failed")
UNHURRIED = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": "2",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "1200",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "1200",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__API__WORKERS": "1",
}


class Airflow:
    """Its API.

    Args:
        url: of the API server.
        log: file with all that it prints.
    """

    def __init__(self, url: str, log: Path) -> None:
        self.url, self.log, self._token = url, log, ""

    def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        """Returns what the API answers; None for a 404."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method or None)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error

    def wait_until_ready(self, dag: str) -> None:
        """Waits until it is healthy and knows a DAG, and unpauses that."""

        def healthy() -> bool:
            try:
                parts = self.ask("/api/v2/monitor/health")
            except (OSError, AssertionError):
                return False
            return all(parts[each]["status"] == "healthy" for each in ("metadatabase", "scheduler", "dag_processor"))

        self._wait(healthy, "Airflow is not healthy")
        self._token = self.ask("/auth/token")["access_token"]
        self._wait(lambda: self.ask(f"/api/v2/dags/{dag}") is not None, f"{dag} is not known")
        self.unpause(dag)

    def unpause(self, dag: str, paused: bool = False) -> None:
        """Lets the runs of a DAG begin, or holds them back."""
        self.ask(f"/api/v2/dags/{dag}", {"is_paused": paused}, "PATCH")

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Returns all runs of a DAG."""
        found: list[dict[str, Any]] = self.ask(f"/api/v2/dags/{dag}/dagRuns?limit=100")["dag_runs"]
        return found

    def trigger(self, dag: str, run: str, **conf: Any) -> None:
        """Starts a run with parameters."""
        self.ask(f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run, "logical_date": None, "conf": conf})

    def clear(self, dag: str, run: str, task: str) -> None:
        """Has a task of a run that has ended run again, with all after it."""
        what = {"dag_run_id": run, "task_ids": [task], "include_downstream": True, "only_failed": False}
        self.ask(f"/api/v2/dags/{dag}/clearTaskInstances", {**what, "dry_run": False, "reset_dag_runs": True})

    def end_of(self, dag: str, run: str) -> str:
        """Waits for the end of a run; returns its state."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.ask(f"/api/v2/dags/{dag}/dagRuns/{quote(run)}"))
            return found["state"] in ENDS

        self._wait(ended, f"{run} does not end")
        return str(found["state"])

    def states(self, dag: str, run: str) -> dict[str, str]:
        """Returns the state of each task of a run."""
        found = self.ask(f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances?limit=100")["task_instances"]
        return {each["task_id"]: each["state"] for each in found}

    def tries(self, dag: str, run: str, task: str) -> int:
        """Returns how often a task was tried."""
        return int(self.ask(f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances/{task}")["try_number"])

    def value(self, dag: str, run: str, task: str) -> Any:
        """Returns what a task passed on."""
        path = f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances/{task}/xcomEntries/return_value?deserialize=true"
        return (self.ask(path) or {}).get("value")

    def said(self, dag: str, run: str, task: str) -> str:
        """Returns the log of a task's last try."""
        path = f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances/{task}"
        lines = self.ask(f"{path}/logs/{self.tries(dag, run, task)}?full_content=true")["content"]
        return "\n".join(str(each.get("event", "")) + str(each.get("error_detail", "")) for each in lines)

    def _wait(self, is_so: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + LONG_S
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"{problem}: {self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(1)


@contextmanager
def running_airflow(home: Path, settings: dict[str, str]) -> Iterator[Airflow]:
    """Starts Airflow with the project's DAGs, and stops it with all that it started.

    Args:
        home: folder for its state.
        settings: of the DAGs, as environment variables.
    """
    home.mkdir()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = settings_of_airflow(home) | UNHURRIED | settings
    environment |= {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
    }
    folder = airflow_environment() / "bin"
    environment["PATH"] = f"{folder}:{environment['PATH']}"  # it starts its parts by name
    log = home / "standalone.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(folder / "airflow"), "standalone"],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Airflow(url, log)
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stops it as Ctrl-C does, and ends what is left of it."""
    members = _members(process.pid)
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_S)
    except (subprocess.TimeoutExpired, ProcessLookupError):
        pass
    for member in {*members, *_members(process.pid)}:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def _members(session: int) -> list[int]:
    """Returns the processes of a session; tasks that run have sessions of their own, and end with their parents."""
    members = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                members.append(int(folder.name))
    return members
