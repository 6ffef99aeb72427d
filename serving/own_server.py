"""Finds a tritonserver that the machine already has, its version, and its ONNX Runtime backend."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from serving.errors import ServingError
from serving.exit_reason import describe_end
from serving.lifetime import die_with_parent
from traffic_signs.direct import open_url

PROGRAM, BACKENDS = "SIGNS_TRITONSERVER", "SIGNS_TRITON_BACKENDS"  # environment variables
OFFICIAL = Path("/opt/tritonserver")  # in the official image; every server's default for its backends
START_TIMEOUT_S = 60.0  # on a machine with many GPUs the first start takes a while


@dataclass(frozen=True)
class OwnServer:
    """A tritonserver that the machine already has.

    Attributes:
        program: path of the executable.
        backends: folder of its backends.
        version: version that it reports, such as 2.73.0.
    """

    program: Path
    backends: Path
    version: str

    @property
    def has_standin(self) -> bool:
        """Whether its ONNX Runtime backend is the stand-in; Triton prefers a library to a model.py."""
        return not self._has_native and (self.backends / "onnxruntime" / "model.py").exists()

    @property
    def description(self) -> str:
        """One line for users."""
        backend = f"no ONNX Runtime backend in {self.backends}"
        if self._has_native or self.has_standin:
            backend = "ONNX Runtime stand-in backend" if self.has_standin else "ONNX Runtime backend"
        return f"tritonserver {self.version} ({self.program}, {backend})"

    @property
    def arguments(self) -> list[str]:
        """Command-line arguments that point to its backends and caches."""
        caches = self.program.resolve().parents[1] / "caches"
        found = [f"--cache-directory={caches}"] if caches.is_dir() else []
        return [f"--backend-directory={self.backends}", *found]

    @property
    def _has_native(self) -> bool:
        return (self.backends / "onnxruntime" / "libtriton_onnxruntime.so").exists()


def find_program(given: Path | None = None) -> Path | None:
    """Returns the given program, else that of SIGNS_TRITONSERVER, else that of the machine; None if there is none.

    Raises:
        ServingError: the given file is not executable.
    """
    asked = given or (Path(os.environ[PROGRAM]) if os.environ.get(PROGRAM) else None)
    if asked is None:
        found = shutil.which("tritonserver")
        official = OFFICIAL / "bin" / "tritonserver"
        return Path(found) if found else official if official.exists() else None
    if not asked.is_file() or not os.access(asked, os.X_OK):
        raise ServingError(f"{asked} is not a program: give a tritonserver, such as {OFFICIAL}/bin/tritonserver")
    return asked.absolute()


def examine(program: Path, backends: Path | None = None) -> OwnServer:
    """Starts a tritonserver briefly, without a model and on loopback, and reads its version.

    Args:
        program: path of the executable.
        backends: folder of its backends; None takes the folder beside it, else the default of every server.

    Raises:
        ServingError: the program is not a tritonserver or does not run here, or the folder does not exist.
    """
    asked = backends or (Path(os.environ[BACKENDS]) if os.environ.get(BACKENDS) else None)
    beside = program.resolve().parents[1] / "backends"
    folder = asked or (beside if beside.is_dir() else OFFICIAL / "backends")
    if asked is not None and not asked.is_dir():
        raise ServingError(f"there is no folder {asked}: give the one with the server's backends, with --backends")
    return OwnServer(program, folder.absolute(), _ask_version(program))


def _ask_version(program: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="signs-tritonserver-") as scratch, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        log, models = Path(scratch, "log"), Path(scratch, "models")
        models.mkdir()
        command = [str(program), f"--model-repository={models}", "--http-address=127.0.0.1", f"--http-port={port}"]
        command += ["--allow-grpc=false", "--allow-metrics=false"]
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent(os.getpid()),
                )
        except OSError as error:
            raise _no_tritonserver(program, error.strerror or str(error)) from error
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while (code := process.poll()) is None and time.monotonic() < deadline:
                version = _version_at(port)
                if version:
                    return version
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        if code is None:
            raise _no_tritonserver(program, f"it did not answer within {START_TIMEOUT_S:.0f} s")
        raise _no_tritonserver(program, describe_end(code, log))


def _version_at(port: int) -> str:
    """Returns the version of the Triton at a port of this machine; empty if none answers."""
    try:
        with open_url(f"http://127.0.0.1:{port}/v2", timeout=5, is_ours=True) as response:
            answer = json.load(response)
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    return str(answer.get("version", "")) if answer.get("name") == "triton" else ""


def _no_tritonserver(program: Path, reason: str) -> ServingError:
    return ServingError(
        f"{program} is not a tritonserver that runs here ({reason}): give another one with --tritonserver or "
        f"{PROGRAM}, or neither to have one installed"
    )
