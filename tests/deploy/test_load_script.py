"""Tests of .ci/load.py, which must not say that all went well when it did not, on a real tritonserver and gateway."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from serving.server import RunningServer, free_ports
from tests.deploy.linters import ROOT
from tests.running_gateway import running_gateway

TRITON_KINDS = {"http-new", "http-kept", "grpc", "grpc-round-robin", "client-stream"}


def run_load(http: str, grpc: str, folder: Path, *options: str, seconds: float = 0) -> tuple[int, dict[str, Any]]:
    """Runs the script, which asks at least once, for a time; returns its exit code and what it printed."""
    stop = folder / "stop"
    addresses = ["--triton-http", http, "--triton-grpc", grpc, "--stop-file", str(stop)]
    command = [sys.executable, str(ROOT / ".ci" / "load.py"), *addresses, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(seconds)
        stop.touch()
        printed, _ = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, json.loads(printed or "{}")


@pytest.mark.end_to_end
def test_answered_requests_are_counted_by_kind_and_version(server: RunningServer, tmp_path: Path) -> None:
    with running_gateway(server.grpc_url, "--need", "sign_classifier") as gateway:
        address = gateway.url.removeprefix("http://")
        options = ("--gateway", address, "--want", "1", "--clients", "2")
        code, result = run_load(server.http_url, server.grpc_url, tmp_path, *options, seconds=4)

    assert code == 0
    assert set(result) == TRITON_KINDS | {"gateway"}
    for kind, part in result.items():
        assert (part["failed"], part["failures"]) == (0, []), kind
        assert set(part["answered"]) <= {"1", "unknown"} and sum(part["answered"].values()) >= 2, kind
    assert all(result[kind]["answered"].get("1") for kind in ("http-new", "grpc", "grpc-round-robin", "gateway"))


@pytest.mark.end_to_end
def test_version_that_never_answers_is_a_failure(server: RunningServer, tmp_path: Path) -> None:
    code, result = run_load(
        server.http_url, server.grpc_url, tmp_path, "--want", "1", "2", "--kinds", "grpc", "http-new"
    )

    assert code == 1
    assert {kind: part["failed"] for kind, part in result.items()} == {"grpc": 0, "http-new": 0}


def test_requests_without_an_answer_are_failures(tmp_path: Path) -> None:
    ports = free_ports()
    nobody = [f"127.0.0.1:{port}" for port in (ports.http, ports.grpc, ports.metrics)]
    code, result = run_load(nobody[0], nobody[1], tmp_path, "--gateway", nobody[2])

    assert code == 1
    assert set(result) == TRITON_KINDS | {"gateway"}
    for kind, part in result.items():
        assert part["failed"] == 1 and not part["answered"] and nobody[0].split(":")[0] in part["failures"][0], kind


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--kinds", "grpc", "carrier-pigeon"), "invalid choice: 'carrier-pigeon'"),
        (("--kinds", ""), "invalid choice: ''"),
        (("--pause", "nan"), "--pause 0 or more seconds"),
        (("--pause", "inf"), "--pause 0 or more seconds"),
        (("--pause", "-1"), "--pause 0 or more seconds"),
        (("--kinds", "gateway"), "give its address with --gateway"),
        (("--clients", "0"), "takes 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, options: tuple[str, ...], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _ = run_load("127.0.0.1:1", "127.0.0.1:2", tmp_path, *options)
    assert code == 2
    assert reason in capfd.readouterr().err
