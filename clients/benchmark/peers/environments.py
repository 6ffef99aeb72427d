"""A virtual environment for each peer, with the packages that its requirements.txt locks."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from clients.benchmark.peers.servers import Peer
from serving.lifetime import ending_with_this
from traffic_sign_client.errors import ClientError
from traffic_signs.atomic_write import write_whole

STAMP = "installed.txt"  # the installed requirements; written last, so that an interrupted installation is repeated

Say = Callable[[str], None]


def default_home() -> Path:
    """Returns the default folder of the environments, in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "traffic-sign-mlops" / "peers"


def folder_of(peer: Peer, home: Path, gpu: bool) -> Path:
    """Returns the folder of a peer's environment; the one for a GPU has another build of ONNX Runtime."""
    return home / (f"{peer.name}-cuda" if gpu else peer.name)


def prepare(peer: Peer, home: Path, gpu: bool, say: Say) -> Path:
    """Makes a peer's environment in `home` if it is missing or has other packages; returns the folder of its programs.

    Raises:
        ClientError: it cannot be installed; the message holds pip's reason. A previous environment is lost.
    """
    folder, wanted = folder_of(peer, home, gpu), peer.requirements(gpu)
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text() == wanted and (folder / "bin" / "python").exists():
        return folder / "bin"
    say(f"installing {peer.title} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        home.mkdir(parents=True, exist_ok=True)
        # The base interpreter: an environment made from an environment breaks.
        _run([str(getattr(sys, "_base_executable", None) or sys.executable), "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        packages = folder / "requirements.txt"
        packages.write_text(wanted)
        _run([*pip, "--requirement", str(packages)])
        write_whole(stamp, wanted)
    except OSError as error:
        raise ClientError(f"cannot make {folder} ({error.strerror}): check its rights and the free space") from error
    return folder / "bin"


def _run(command: list[str]) -> None:
    result = subprocess.run(
        ending_with_this(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")},
    )
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line or "error" in line] or lines
        raise ClientError(errors[-1].strip() if errors else f"{command[0]} exited with {result.returncode}")


def installed_version(peer: Peer, programs: Path, gpu: bool) -> str:
    """Returns the installed versions of a peer's framework, its runtime and NumPy; empty if unknown."""
    names = (peer.package, peer.runtime_package(gpu), "numpy")
    code = (
        "import json, sys; from importlib.metadata import version\n"
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        output = subprocess.run([programs / "python", "-c", code, *names], capture_output=True, timeout=60, check=True)
        return ", ".join(f"{name} {number}" for name, number in json.loads(output.stdout).items())
    return ""
