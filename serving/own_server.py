"""Finds a tritonserver that the machine already has, its version, and its ONNX Runtime backend."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import tempfile
import time
import urllib.error
from pathlib import Path

from serving.errors import ServingError
from serving.exit_reason import describe_end
from serving.lifetime import start_process
from serving.versions import OLDEST, parse_version
from traffic_signs.direct import open_url
from traffic_signs.ports import free_ports

PROGRAM, BACKENDS = "SIGNS_TRITONSERVER", "SIGNS_TRITON_BACKENDS"  # environment variables
OFFICIAL = Path("/opt/tritonserver")  # in the official image; every server's default for its backends
START_TIMEOUT_S = 60.0  # on a machine with many GPUs the first start takes a while


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


def examine(program: Path, backends: Path | None = None) -> tuple[str, Path]:
    """Starts a tritonserver briefly, without a model and on loopback, to read its version, such as 2.73.0.

    It returns the folder of its backends too: the given one, else the one beside it, else the default of every server.

    Raises:
        ServingError: the program is not a tritonserver, does not run here or is too old, or the folder does not exist.
    """
    asked = backends or (Path(os.environ[BACKENDS]) if os.environ.get(BACKENDS) else None)
    beside = home_of(program) / "backends"
    folder = asked or (beside if beside.is_dir() else OFFICIAL / "backends")
    if asked is not None and not asked.is_dir():
        raise ServingError(f"there is no folder {asked}: give the one with the server's backends, with --backends")
    version = _ask_version(program)
    if parse_version(version) < OLDEST:
        raise _unusable(
            f"{program} is tritonserver {version}, older than 2.46 (24.05), which has no --model-config-name"
        )
    return version, folder.absolute()


def home_of(program: Path) -> Path:
    """Returns the folder of a server, which has the program in its `bin`."""
    return program.resolve().parent.parent


def _ask_version(program: Path) -> str:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="signs-tritonserver-") as scratch:
        log, models = Path(scratch, "log"), Path(scratch, "models")
        models.mkdir()
        command = [str(program), f"--model-repository={models}", "--http-address=127.0.0.1", f"--http-port={port}"]
        command += ["--allow-grpc=false", "--allow-metrics=false"]
        try:
            process = start_process(command, log)
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
            with contextlib.suppress(ProcessLookupError):  # also a server that a wrapper script has started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code is None:
            raise _no_tritonserver(program, f"it did not answer within {START_TIMEOUT_S:.0f} s")
        raise _no_tritonserver(program, describe_end(code, log))


def _version_at(port: int) -> str:
    """Returns the version of the Triton at a port of this machine; empty if none answers."""
    try:
        with open_url(f"http://127.0.0.1:{port}/v2", timeout=5, is_ours=True) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        error.close()
        return ""
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    return str(answer.get("version", "")) if answer.get("name") == "triton" else ""


def _no_tritonserver(program: Path, reason: str) -> ServingError:
    return _unusable(f"{program} is not a tritonserver that runs here ({reason})")


def _unusable(what: str) -> ServingError:
    return ServingError(
        f"{what}: give another one with --tritonserver or {PROGRAM}, or none, here and on the PATH, to have one "
        "installed"
    )
