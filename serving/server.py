"""Starts a tritonserver, waits until it is ready, and stops it, also if this process is killed."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import traffic_signs.ports
from serving.errors import ServingError
from serving.exit_reason import describe_end, last_error
from serving.install import Installation, located
from serving.lifetime import start_process
from serving.paths import SafePaths, check_model_names
from traffic_signs.direct import open_url

READY_TIMEOUT_S = 120.0
# Start and become ready although a model fails to load.
KEEP_GOING = ("--exit-on-error=false", "--strict-readiness=false")
# Load versions on request. A version that fails to load must not make the server unready for the others.
RELOADABLE = ("--model-control-mode=explicit", "--load-model=*", "--strict-readiness=false")
GRPC_THREADS = "--grpc-infer-thread-count"
MIN_GRPC_THREADS, MAX_GRPC_THREADS = 2, 128  # what Triton takes
# What the log of a server has that aborted on a busy machine before it was ready. Nobody has been answered then, so the
# server is started again. It is from Triton's Python backend (issue 8882 of the server, seen with 2.51).
ABORT, STARTS = b"boost::interprocess::lock_exception", 3
STOP_TIMEOUT_S = 35.0  # tritonserver gives requests in flight 30 s
ENVIRONMENT = {
    # No __pycache__ beside the models, for servers whose stub reads variables; our own installation uses a .pth file.
    "PYTHONDONTWRITEBYTECODE": "1",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime from 1.29 on records and sends usage data
}


@dataclass(frozen=True)
class Ports:
    """The ports of a server."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready."""

    ports: Ports
    host: str  # the address it listens on
    process: "subprocess.Popen[bytes]"
    log: Path  # everything it prints
    paths: SafePaths  # under which it opens files

    @property
    def http_url(self) -> str:
        """host:port, for tritonclient.http."""
        return f"{self.host}:{self.ports.http}"

    @property
    def grpc_url(self) -> str:
        """host:port, for tritonclient.grpc."""
        return f"{self.host}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        """Address of the Prometheus metrics."""
        return f"http://{self.host}:{self.ports.metrics}/metrics"

    def check_alive(self) -> None:
        """Raises ServingError with the reason if the process has ended since it was ready."""
        code = self.process.poll()
        if code is not None:
            raise ServingError(self.ending("tritonserver ended by itself with", code, was_ready=True))

    def ending(self, what: str, code: int, was_ready: bool = False) -> str:
        """Returns a sentence about the end of the process: what happened, the code, the reason and the log file."""
        return f"{what} {self.paths.original(describe_end(code, self.log, was_ready))} (log: {self.log})"


def free_ports(host: str = "127.0.0.1") -> Ports:
    """Returns ports that are free now."""
    return Ports(*traffic_signs.ports.free_ports(3, host))


def check_ports(host: str, ports: Ports) -> None:
    """Raises ServingError if a port is taken or two are equal."""
    if len({ports.http, ports.grpc, ports.metrics}) < 3:
        raise ServingError("HTTP, gRPC and metrics need a port each: give three different ones")
    for kind, port in asdict(ports).items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                place, fix = host, "give an IPv4 address of this machine with --host"
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    place, fix = f"{host}:{port}", f"stop what uses it, or give another port with --{kind}-port"
                raise ServingError(f"cannot listen on {place} ({error.strerror}): {fix}") from error


def check_repository(repository: Path) -> None:
    """Raises ServingError if there is no model in a folder, or one whose name a server cannot serve."""
    if not any(repository.glob("*/config.pbtxt")):
        raise ServingError(
            f"there is no model in {repository}: check the path, or run `make demo` or `signs export onnx` first"
        )
    check_model_names(repository)


@contextlib.contextmanager
def running_server(
    installation: Installation,
    repository: Path,
    log: Path,
    ports: Ports | None = None,
    host: str = "127.0.0.1",
    extra_arguments: tuple[str, ...] = (),
) -> Iterator[RunningServer]:
    """Starts a server for a folder of models, waits until it is ready, and stops it at the end of the block.

    It prints into `log`, and without `ports` takes free ones.

    Raises:
        ServingError: there is no model, a port is taken, or the server ended or was not ready in time; the message
            contains the reason from its log.
    """
    check_repository(repository)
    ports = ports or free_ports(host)
    check_ports(host, ports)
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        paths = SafePaths(stack)
        installation = located(installation, paths)
        command = _command(installation, paths.safe(repository), host, ports, extra_arguments)
        for remaining in reversed(range(STARTS)):
            process = start_process(command, log, {**os.environ, **ENVIRONMENT, **installation.environment})
            stack.callback(stop, process)
            server = RunningServer(ports, host, process, log, paths)
            try:
                _wait_until_ready(server)
                break
            except ServingError:
                printed = log.read_bytes()
                if not remaining or process.poll() != -signal.SIGABRT or ABORT not in printed:
                    raise
        yield server


def tracing(url: str) -> tuple[str, ...]:
    """Returns the arguments for a server that sends its spans to a collector.

    The server traces only requests with a `traceparent`, such as the gateway's: the client sets the sampling rate.
    `url` is the address of a collector for OTLP over HTTP, without /v1/traces.

    Raises:
        ServingError: `url` is not an HTTP address.
    """
    if not re.fullmatch(r"https?://[^\s/,]+(/[^\s,]*)?", url):
        raise ServingError(f"--traces {url!r}: give the address of a collector, such as http://localhost:4318")
    return (
        "--trace-config=mode=opentelemetry",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=0",  # of requests without a traceparent
        f"--trace-config=opentelemetry,url={url.rstrip('/')}/v1/traces",
        "--trace-config=opentelemetry,resource=service.name=triton",
    )


def grpc_thread_arguments(installation: Installation, threads: int) -> tuple[str, ...]:
    """Returns the arguments for `threads` threads that handle gRPC requests; none for 0.

    Raises:
        ServingError: this tritonserver has no such option (those from 25.04 on have it), or the number is out of range.
    """
    if not threads:
        return ()
    if not MIN_GRPC_THREADS <= threads <= MAX_GRPC_THREADS:
        allowed = f"{MIN_GRPC_THREADS} to {MAX_GRPC_THREADS}"
        raise ServingError(f"--grpc-threads is {threads}: give {allowed}, or 0 for the server's own number")
    environment = {**os.environ, **installation.environment}
    command = [str(installation.binary), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    if GRPC_THREADS not in said.stdout + said.stderr:
        raise ServingError(
            f"{installation.description} has no option {GRPC_THREADS}: leave --grpc-threads out, or use a newer one"
        )
    return (f"{GRPC_THREADS}={threads}",)


def served_versions(server: RunningServer) -> list[tuple[str, str]]:
    """Returns the name and version of each model that the server reports as ready."""
    return [(entry["name"], entry["version"]) for entry in _index(server, b'{"ready": true}')]


def unavailable_models(server: RunningServer) -> dict[str, str]:
    """Returns why models failed to load, by name; the server must have been started with KEEP_GOING."""
    index = _index(server, b"{}")
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    return {
        entry["name"]: server.paths.original(entry.get("reason", "")) for entry in index if entry["name"] not in ready
    }


def _index(server: RunningServer, question: bytes) -> list[dict[str, str]]:
    url = f"http://{server.http_url}/v2/repository/index"
    request = urllib.request.Request(url, data=question, method="POST")
    with open_url(request, timeout=10, is_ours=True) as response:
        index: list[dict[str, str]] = json.load(response)
        return index


def stop(process: "subprocess.Popen[bytes]", timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Stops a server by SIGTERM, so that it finishes its requests, and kills it and its session after some seconds."""
    try:
        process.terminate()
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):  # the stubs of its Python models too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _command(
    installation: Installation, repository: Path, host: str, ports: Ports, extra: tuple[str, ...]
) -> list[str]:
    return [
        str(installation.binary),
        f"--model-repository={repository}",
        f"--http-address={host}",
        f"--http-port={ports.http}",
        f"--grpc-address={host}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={host}",
        f"--metrics-port={ports.metrics}",
        "--model-control-mode=none",
        # As in the images and the chart: a configuration that loads here loads there.
        "--disable-auto-complete-config",
        # Servers on one machine must not share names of shared memory for their Python models.
        f"--backend-config=python,shm-region-prefix-name=signs-{ports.grpc}-",
        "--metrics-config=summary_latencies=true",
        *installation.arguments,
        *extra,
    ]


def _wait_until_ready(server: RunningServer) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    url = f"http://{server.http_url}/v2/health/ready"
    while time.monotonic() < deadline:
        code = server.process.poll()
        if code is not None:
            raise ServingError(server.ending("tritonserver ended at once with", code))
        try:
            with open_url(url, timeout=2, is_ours=True):
                return
        except urllib.error.HTTPError as not_ready:
            not_ready.close()
        except OSError:
            pass
        time.sleep(0.05)
    reason = server.paths.original(last_error(server.log)) or "its log names no error"
    raise ServingError(f"tritonserver was not ready after {READY_TIMEOUT_S:.0f} s: {reason} (log: {server.log})")
