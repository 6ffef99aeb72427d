"""Starts a peer, waits until it answers, and stops it with everything it has started."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.benchmark.peers.http_connection import split_response
from serving.exit_reason import describe_code
from serving.lifetime import start_process
from serving.server import stop
from traffic_sign_client.errors import ClientError

HOST = "127.0.0.1"
READY_S = 300.0  # Ray starts half a dozen processes, on a busy machine too
STOP_S = 15.0
MARK = "SIGNS_PEER"  # variable that marks all processes of a server, also those that left its session


@dataclass(frozen=True)
class Endpoint:
    """Where a server answers."""

    port: int
    host: str = HOST


@contextlib.contextmanager
def running(
    command: list[str], environment: dict[str, str], port: int, request: bytes, log: Path
) -> Iterator[Endpoint]:
    """Starts a server in its log's folder, waits until it answers an HTTP request with 200, and stops it at the end.

    Raises:
        ClientError: it ended, or did not answer in time; the message holds the end of its log.
    """
    mark = secrets.token_hex(8)
    log.parent.mkdir(parents=True, exist_ok=True)
    try:  # in the log's folder: some leave files where they are started
        process = start_process(command, log, {**environment, MARK: mark}, log.parent)
    except OSError as error:
        raise ClientError(f"cannot start {command[0]} ({error.strerror})") from error
    try:
        _wait_until_answered(process, port, request, log)
        yield Endpoint(port)
    finally:
        try:
            stop(process, STOP_S)
        finally:
            _kill_marked(mark)


def ask(host: str, port: int, request: bytes, timeout_s: float = 30.0) -> tuple[bytes, bytes]:
    """Sends one request over a connection of its own; returns head and body of the response.

    Raises:
        OSError: there is no connection, or no answer in time.
        ValueError: the answer is not HTTP.
    """
    received = bytearray()
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        connection.sendall(request)
        while (response := split_response(received)) is None:
            data = connection.recv(262144)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            received += data
    return response


def _wait_until_answered(process: "subprocess.Popen[bytes]", port: int, request: bytes, log: Path) -> None:
    deadline, last = time.monotonic() + READY_S, ""
    while time.monotonic() < deadline:
        if process.poll() is not None:
            code = describe_code(process.returncode)
            raise ClientError(f"it ended at once with {code}: {_last_line(log)} (log: {log})")
        try:
            head, body = ask(HOST, port, request)
            if head[9:12] == b"200":
                return
            last = f"{head[9:].splitlines()[0].decode(errors='replace')}: {body[:200].decode(errors='replace')}"
        except (OSError, ValueError) as error:
            last = str(error)
        time.sleep(0.2)
    raise ClientError(f"it did not answer within {READY_S:.0f} s ({last}; {_last_line(log)}; log: {log})")


def _last_line(log: Path) -> str:
    """Returns the last line of a log that names an error, or else the last one that is not empty."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and not line.startswith(("File", "raise"))]
    return (errors or lines or ["it printed nothing"])[-1][:300]


def _kill_marked(mark: str) -> None:
    """Kills all processes with a mark and waits until they are gone: they would slow down the next server."""
    deadline = time.monotonic() + STOP_S
    while (left := processes_marked(mark)) and time.monotonic() < deadline:
        for number in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.05)


def processes_marked(mark: str) -> list[int]:
    """Returns the processes with a mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
