"""Which GPUs and which TensorRT this machine has: an engine runs only on hardware that it was built for."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from export.errors import RepositoryError

VISIBLE = "CUDA_VISIBLE_DEVICES"  # the GPUs that a process may use
TIMEOUT_S = 60.0  # the first call after boot loads the driver
# Where Debian's packages and NVIDIA's images have it; it is on no PATH there.
TRTEXEC = Path("/usr/src/tensorrt/bin/trtexec")
# Triton would load this library. Its own process, because it is large and can crash a process on a machine without a
# driver.
_ASK_LIBRARY = """
import ctypes
for major in (12, 11, 10, 9, 8):
    try:
        print(ctypes.CDLL(f"libnvinfer.so.{major}").getInferLibVersion())
        break
    except OSError:
        pass
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU as nvidia-smi describes it: its name, compute capability (`8.0`) and the version of the driver."""

    name: str
    compute_capability: str
    driver: str


def gpus() -> list[Gpu]:
    """Returns the GPUs that a server on this machine sees: all, or those of CUDA_VISIBLE_DEVICES.

    Raises:
        RepositoryError: there is none, or the driver does not answer.
    """
    query = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader", *_visible()]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout
    except FileNotFoundError as error:
        raise RepositoryError("this machine has no NVIDIA GPU that can be seen: there is no nvidia-smi") from error
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stdout", "") or getattr(error, "stderr", "") or str(error)
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        raise RepositoryError(f"the GPU of this machine does not answer (nvidia-smi: {said.strip()})") from error
    lines = [[part.strip() for part in line.split(",")] for line in answer.splitlines() if line.strip()]
    found = [Gpu(*parts) for parts in lines if len(parts) == 3]
    if not found:
        raise RepositoryError(f"nvidia-smi names no GPU of this machine: {answer.strip() or 'it printed nothing'}")
    return found


def _visible() -> list[str]:
    """Returns the options for the GPUs of CUDA_VISIBLE_DEVICES: numbers or UUIDs, up to a negative one."""
    listed = os.environ.get(VISIBLE)
    if listed is None or "MIG-" in listed:  # a part of a GPU, which nvidia-smi does not list by itself
        return []
    names = list(takewhile(lambda name: name and not name.startswith("-"), map(str.strip, listed.split(","))))
    if not names:
        raise RepositoryError(f"{VISIBLE}={listed} hides the GPUs of this machine: remove it to use them")
    return [f"--id={','.join(names)}"]


def find_trtexec() -> Path | None:
    """Returns TensorRT's own command-line tool, None if there is none."""
    found = shutil.which("trtexec")
    return Path(found) if found else TRTEXEC if TRTEXEC.exists() else None


def version_of_trtexec(trtexec: Path) -> str:
    """Returns the version of TensorRT that a trtexec belongs to, as `10.13.3`.

    Its first line names it: `&&&& RUNNING TensorRT.trtexec [TensorRT v101303] ...`.

    Raises:
        RepositoryError: it cannot be run, or does not say so.
    """
    try:
        result = subprocess.run([trtexec, "--help"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise RepositoryError(f"{trtexec} cannot be run ({error}): give TensorRT's with --trtexec") from error
    match = re.search(r"\[TensorRT v(\d+)\]", result.stdout + result.stderr)
    if match is None:
        raise RepositoryError(f"{trtexec} does not say which TensorRT it is of: give TensorRT's own with --trtexec")
    return decode_version(int(match[1]))


def decode_version(number: int) -> str:
    """Returns a version of TensorRT that is written as one number: 101303 is 10.13.3, and 8601 was 8.6.1."""
    major, rest = divmod(number, 10_000) if number >= 10_000 else divmod(number, 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def tensorrt_version() -> str:
    """Returns the version of the TensorRT that a server on this machine would load; empty if there is none."""
    ask = [sys.executable, "-c", _ASK_LIBRARY]
    with suppress(subprocess.SubprocessError):
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=TIMEOUT_S, check=False).stdout.strip()
        if answer.isdecimal():
            return decode_version(int(answer))
    trtexec = find_trtexec()
    return version_of_trtexec(trtexec) if trtexec else ""


def has_gpu() -> bool:
    """Returns whether this machine has a GPU whose driver answers."""
    try:
        return bool(gpus())
    except RepositoryError:
        return False


def misfit(built_for: Mapping[str, str]) -> str:
    """Returns why an engine cannot run on this machine; empty if it can.

    `gpu`, `compute_capability` and `tensorrt` must be those of `built_for` in its manifest. The `driver` may be newer,
    not older.
    """
    wanted = {name: built_for.get(name, "") for name in ("gpu", "compute_capability", "driver", "tensorrt")}
    text = f"it was built for {wanted['gpu']} with driver {wanted['driver']} and TensorRT {wanted['tensorrt']}"
    try:
        for gpu in gpus():  # Triton puts an instance on each
            if (gpu.name, gpu.compute_capability) != (wanted["gpu"], wanted["compute_capability"]):
                return f"{text}, and this machine has {gpu.name} (compute capability {gpu.compute_capability})"
            if _numbers(gpu.driver) < _numbers(wanted["driver"]):
                return f"{text}, and this machine has the older driver {gpu.driver}"
        found = tensorrt_version()
    except RepositoryError as error:
        return f"{text}, and {error}"
    if found != wanted["tensorrt"]:
        return f"{text}, and this machine has {f'TensorRT {found}' if found else 'no TensorRT'}"
    return ""


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
