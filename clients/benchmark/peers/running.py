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
from serving.lifetime import die_with_parent
from traffic_sign_client.errors import ClientError

HOST = "127.0.0.1"
READY_S = 300.0  # Ray starts half a dozen processes, on a busy machine too
STOP_S = 15.0
MARK = "SIGNS_PEER"  # variable by which a server's processes are known, also those that left its session


@dataclass(frozen=True)
class Endpoint:
    """Where a server answers; `processes` are those that are its own to stop."""

    port: int
    host: str = HOST


@contextlib.contextmanager
def running(
    command: list[str], environment: dict[str, str], port: int, request: bytes, log: Path
) -> Iterator[Endpoint]:
    """Starts a server, waits until it answers a request, and stops it when the block ends, however it ends.

    Args:
        command: its command line.
        environment: all its variables.
        port: where it will listen.
        request: a whole HTTP request that it answers with 200 when it is ready.
        log: file that takes what it prints.

    Raises:
        ClientError: it ended, or did not answer in time; the message holds the end of its log.
    """
    mark = secrets.token_hex(8)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                env={**environment, MARK: mark},
                cwd=log.parent,  # some leave files where they are started
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own session, so that Ctrl-C in the terminal reaches us alone and we stop it in order.
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        except OSError as error:
            raise ClientError(f"cannot start {command[0]} ({error.strerror})") from error
    try:
        _wait_until_answered(process, port, request, log)
        yield Endpoint(port)
    finally:
        _stop(process, mark)


def free_port() -> int:
    """Returns a port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def ask(host: str, port: int, request: bytes, timeout_s: float = 30.0) -> tuple[bytes, bytes]:
    """Sends one request over a connection of its own; returns head and body of the response.

    Raises:
        OSError: there is no connection, or no answer in time.
        ValueError: the answer is no HTTP.
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
            raise ClientError(f"it ended at once with {code}: {last_line(log)} (all of it: {log})")
        try:
            head, body = ask(HOST, port, request)
            if head[9:12] == b"200":
                return
            last = f"{head[9:].splitlines()[0].decode(errors='replace')}: {body[:200].decode(errors='replace')}"
        except (OSError, ValueError) as error:
            last = str(error)
        time.sleep(0.2)
    raise ClientError(f"it did not answer within {READY_S:.0f} s ({last}; {last_line(log)}; all of it: {log})")


def last_line(log: Path) -> str:
    """Returns the last line of a log that is not empty, where nothing in it says more plainly what is wrong."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and not line.startswith(("File", "raise"))]
    return (errors or lines or ["it printed nothing"])[-1][:300]


def _stop(process: "subprocess.Popen[bytes]", mark: str) -> None:
    """Asks a server to end, ends it where it does not, and whatever else carries its mark."""
    try:
        process.terminate()
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Until the last is gone: what is still ending would take memory and cores from whoever is measured next.
        deadline = time.monotonic() + STOP_S
        while (left := processes_marked(mark)) and time.monotonic() < deadline:
            for number in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.05)


def processes_marked(mark: str) -> list[int]:
    """Returns the processes that were started with a mark in their environment: ours alone can carry it."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
