"""Tests of .ci/load.py, which must not say that all went well when it did not, on a real tritonserver."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from serving.server import RunningServer, free_ports
from tests.deploy.linters import ROOT


def run_load(url: str, stop: Path, *versions: str, seconds: float = 0) -> tuple[int, dict[str, Any]]:
    """Runs the script, which asks at least once, for a time; returns its exit code and what it printed."""
    command = [sys.executable, str(ROOT / ".ci" / "load.py"), url, str(stop), *versions]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(seconds)
        stop.touch()
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, json.loads(printed)


@pytest.mark.end_to_end
def test_answered_requests_are_counted_by_version(server: RunningServer, tmp_path: Path) -> None:
    code, result = run_load(server.http_url, tmp_path / "stop", "1", seconds=1)

    assert code == 0
    assert set(result["answered"]) == {"1"}
    assert (result["failed"], result["failures"]) == (0, [])


@pytest.mark.end_to_end
def test_version_that_never_answers_is_a_failure(server: RunningServer, tmp_path: Path) -> None:
    code, result = run_load(server.http_url, tmp_path / "stop", "1", "2")

    assert code == 1
    assert result["failed"] == 0


def test_requests_without_an_answer_are_failures(tmp_path: Path) -> None:
    code, result = run_load(f"127.0.0.1:{free_ports().http}", tmp_path / "stop")

    assert code == 1
    assert result["failed"] and "refused" in result["failures"][0]
