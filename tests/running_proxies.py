"""HAProxy and dnsmasq between clients and two servers: what a Service and a headless Service are in a cluster."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.server import Ports
from traffic_signs.ports import free_ports

START_S = 120.0  # a busy machine is slow
# As a Service does, `http` and `grpc` pass connections on and know nothing of requests. `retrying` reads requests and
# sends one whose server went away without an answer to the other, with the lines that the client's README names. Three
# checks that fail make a server unready, as with the chart's readiness probe; a slow answer is none of them.
CONFIG = """
global
  stats socket {socket} mode 600 level admin
  tune.bufsize 1048576
defaults
  timeout connect 2s
  timeout client 10m
  timeout server 10m
  timeout check 5s
  retries 3
  option redispatch 1
  default-server check inter 500ms fall 3 rise 1
listen http
  mode tcp
  bind 127.0.0.1:{http}
  option httpchk GET /v2/health/live
{http_servers}
listen grpc
  mode tcp
  bind 127.0.0.1:{grpc}
  option httpchk GET /v2/health/live
{grpc_servers}
listen retrying
  mode http
  bind 127.0.0.1:{retrying}
  option httpchk GET /v2/health/live
  option http-buffer-request
  retry-on conn-failure empty-response 503
{http_servers}
"""


@dataclass(frozen=True)
class Proxy:
    """An HAProxy in front of some servers; each attribute is a host:port of its own."""

    http: str
    grpc: str
    retrying: str
    control: Path

    def let(self, server: str, state: str) -> None:
        """Sets what a server gets: `ready` for all, `drain` for what comes over the connections it has, `maint`."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.control))
            commands = [f"set server {each}/{server} state {state}" for each in ("http", "grpc", "retrying")]
            connection.sendall(("; ".join(commands) + "\n").encode())
            assert not connection.recv(4096).strip()


@contextlib.contextmanager
def running_proxy(servers: Mapping[str, tuple[str, Ports]], folder: Path) -> Iterator[Proxy]:
    """Runs HAProxy until the block ends; skips where there is none.

    Args:
        servers: host and ports of each server by name; they need not run yet.
        folder: for its files.
    """
    http, grpc, retrying = free_ports(3)
    file = folder / "haproxy.cfg"
    lines = {
        kind: "\n".join(
            f"  server {name} {host}:{getattr(ports, kind)} port {ports.http}"
            for name, (host, ports) in servers.items()
        )
        for kind in ("http", "grpc")
    }
    with contextlib.ExitStack() as stack:
        # Not in `folder`: the path of a socket has at most 97 characters.
        control = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "haproxy.sock"
        file.write_text(
            CONFIG.format(
                socket=control,
                http=http,
                grpc=grpc,
                retrying=retrying,
                http_servers=lines["http"],
                grpc_servers=lines["grpc"],
            )
        )
        command = [_find("haproxy"), "-db", "-f", str(file)]
        process = stack.enter_context(_running(command, folder / "haproxy.log"))
        _wait(lambda: control.exists() and _listens(http), process, folder / "haproxy.log")
        yield Proxy(f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", f"127.0.0.1:{retrying}", control)


@dataclass(frozen=True)
class Names:
    """A name server that knows one name."""

    port: int
    hosts: Path
    process: "subprocess.Popen[bytes]"

    def target(self, port: int) -> str:
        """Returns what gRPC asks this name server about, for a port."""
        return f"dns://127.0.0.1:{self.port}/triton.test:{port}"

    def lead_to(self, *addresses: str) -> None:
        """Sets the addresses of the name."""
        self.hosts.write_text("".join(f"{address} triton.test\n" for address in addresses))
        self.process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def running_names(folder: Path, *addresses: str) -> Iterator[Names]:
    """Runs dnsmasq until the block ends; skips where there is none."""
    (port,), hosts = free_ports(1), folder / "hosts"
    hosts.write_text("".join(f"{address} triton.test\n" for address in addresses))
    options = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file="]
    options += [f"--addn-hosts={hosts}", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces"]
    options += ["--user=", "--group=", "--local=/test/"]
    with _running([_find("dnsmasq"), *options], folder / "dnsmasq.log") as process:
        _wait(lambda: _listens(port), process, folder / "dnsmasq.log")
        yield Names(port, hosts, process)


def _find(program: str) -> str:
    path = shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
    if path is None:
        pytest.skip(f"no {program}: install it, as with `apt-get install {program}`")
    return path


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait(is_there: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not is_there():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
