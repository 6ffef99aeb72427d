"""A real `signs gateway` in a process of its own, and what is asked of it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from clients.command.main import main; main()", "gateway"]
START_S = 120.0


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RunningGateway:
    """A gateway that listens; `lines` are those of its log."""

    url: str
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def ask(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Returns the answer to GET, or with a body to POST; it counts too where it is an error."""
        request = urllib.request.Request(self.url + path, body, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def log(self) -> list[dict[str, Any]]:
        """Returns what was logged so far; each line must be JSON."""
        return [json.loads(line) for line in self.lines]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """Returns a form of parts (name, filename, content) as a body and its header."""
    body = b""
    for name, filename, content in parts:
        named = f'; filename="{filename}"' if filename else ""
        body += f'--edge\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


@contextlib.contextmanager
def running_gateway(triton: str, *options: str, **environment: str) -> Iterator[RunningGateway]:
    """Runs a gateway on a free port until the block ends.

    Args:
        triton: host:port of the gRPC of a Triton.
        options: of the command line.
        environment: variables.
    """
    command = [*COMMAND, "--url", triton, "--port", "0", "--drain-delay", "0", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    gateway, listening = RunningGateway("", process), threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            gateway.lines.append(line)
            if match := re.search(r"listening on (http://[^\s\"]+)", line):
                gateway.url = match[1]
                listening.set()
        listening.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert listening.wait(START_S) and gateway.url, "".join(gateway.lines)
        yield gateway
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def wait_for(condition: Any) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
