"""The programs of the Prometheus project, as tests start and ask them."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.lifetime import start_process
from traffic_signs.ports import free_ports

PATIENCE_S = 120.0  # for what takes a second on an idle machine
NO_PROMETHEUS = "no Prometheus: apt-get install prometheus prometheus-alertmanager prometheus-pushgateway"
IN_MEMORY = ["--persistence.file="]  # of a Pushgateway: Debian's would find the metrics of the last one


def tool(name: str) -> str:
    """Returns the path of a program; skips where it is not installed.

    Args:
        name: as upstream calls it. Debian prefixes some of them.
    """
    path = shutil.which(name) or shutil.which(f"prometheus-{name}")
    if path is None:
        pytest.skip(NO_PROMETHEUS)
    return path


def free_port() -> int:
    return free_ports(1)[0]


@contextlib.contextmanager
def running(program: str, arguments: list[str], ready: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Starts a program, waits until an address answers, and stops it after the block."""
    process = start_process([tool(program), *arguments], log)
    try:
        wait_until(lambda: _answers(ready, process, log), f"{program} is ready")
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_until(is_so: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Waits until something is so; fails the test where it does not come."""
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience_s:.0f} s in vain until {what}")
        time.sleep(0.1)


def get_json(address: str, **parameters: str) -> Any:
    """Asks an HTTP interface; fails the test with what it says where it refuses."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    try:
        with urllib.request.urlopen(f"{address}{query}", timeout=PATIENCE_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            pytest.fail(f"{address}{query}: {error.read().decode()}")


def _answers(address: str, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    if process.poll() is not None:
        pytest.fail(f"{log.read_text(errors='replace')[-2000:]}")
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False
