"""A tritonserver of the machine's own: where it is, which version runs, and whose ONNX Runtime backend it loads."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from serving.ending import describe_end
from serving.errors import ServingError
from serving.lifetime import die_with_parent

PROGRAM, BACKENDS = "SIGNS_TRITONSERVER", "SIGNS_TRITON_BACKENDS"  # environment variables
OFFICIAL = Path("/opt/tritonserver")  # where the official image has it, and where any server looks for its backends
START_TIMEOUT_S = 60.0  # on a machine with many GPUs the first start takes a while


@dataclass(frozen=True)
class OwnServer:
    """A tritonserver that was started once, and said what it is.

    Attributes:
        program: the file.
        backends: folder of its backends.
        version: as it names itself, such as 2.73.0.
    """

    program: Path
    backends: Path
    version: str

    @property
    def has_standin(self) -> bool:
        """Whether its ONNX Runtime backend is the stand-in: Triton takes a library before a model.py."""
        return not self._has_native and (self.backends / "onnxruntime" / "model.py").exists()

    @property
    def description(self) -> str:
        """What it is, for a person."""
        backend = f"no ONNX Runtime backend in {self.backends}"
        if self._has_native or self.has_standin:
            backend = "ONNX Runtime stand-in backend" if self.has_standin else "ONNX Runtime backend"
        return f"tritonserver {self.version} ({self.program}, {backend})"

    @property
    def arguments(self) -> list[str]:
        """Command-line arguments with which it finds what lies beside it."""
        caches = self.program.resolve().parents[1] / "caches"
        found = [f"--cache-directory={caches}"] if caches.is_dir() else []
        return [f"--backend-directory={self.backends}", *found]

    @property
    def _has_native(self) -> bool:
        return (self.backends / "onnxruntime" / "libtriton_onnxruntime.so").exists()


def find_program(given: Path | None = None) -> Path | None:
    """Returns the program that is asked for, by name or by environment, or else that of the machine; None without one.

    Raises:
        ServingError: what is asked for is no program.
    """
    asked = given or (Path(os.environ[PROGRAM]) if os.environ.get(PROGRAM) else None)
    if asked is None:
        found = shutil.which("tritonserver")
        official = OFFICIAL / "bin" / "tritonserver"
        return Path(found) if found else official if official.exists() else None
    if not asked.is_file() or not os.access(asked, os.X_OK):
        raise ServingError(f"{asked} is no program: give a tritonserver, such as {OFFICIAL}/bin/tritonserver")
    return asked.absolute()


def examine(program: Path, backends: Path | None = None) -> OwnServer:
    """Starts a tritonserver for a moment, without a model and on loopback, and returns what it is.

    Args:
        program: the file.
        backends: folder of its backends; without one the folder beside it, or else where every server looks.

    Raises:
        ServingError: it is no tritonserver, does not run here, or there is no such folder.
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
            while process.poll() is None and time.monotonic() < deadline:
                version = _version_at(port)
                if version:
                    return version
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        is_late = time.monotonic() >= deadline
        late = f"it did not answer within {START_TIMEOUT_S:.0f} s"
        raise _no_tritonserver(program, late if is_late else describe_end(process.returncode, log))


def _version_at(port: int) -> str:
    """Returns the version that a Triton on a port of this machine names; empty where none answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands before loopback
    try:
        with opener.open(f"http://127.0.0.1:{port}/v2", timeout=5) as response:
            answer = json.load(response)
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    return str(answer.get("version", "")) if answer.get("name") == "triton" else ""


def _no_tritonserver(program: Path, reason: str) -> ServingError:
    return ServingError(
        f"{program} is no tritonserver that runs here ({reason}): give another one with --tritonserver or {PROGRAM}, "
        "or with neither have one installed"
    )
