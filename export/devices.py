"""Where ONNX Runtime runs an exported file in this process: on the CPU, or on a GPU through onnxruntime-gpu.

On a GPU without TF32. That rounds the inputs of multiplications to 10 bits: a probability then differs from the CPU's
by up to 7e-4, which is more than the 1e-4 that an fp32 file may differ from its network; without it, by 3e-7.

ONNX Runtime is imported where it is used: PyTorch alone is enough to evaluate a checkpoint.
"""

import contextlib
import io
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from export.errors import ExportError, RepositoryError
from export.repository.hardware import gpus

Device = Literal["cpu", "cuda"]
DEVICES: tuple[Device, ...] = get_args(Device)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
CUDA_OPTIONS = {"use_tf32": "0"}
INSTALL = "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"

Providers = Sequence[str | tuple[str, dict[str, str]]]


def providers_for(device: str) -> Providers:
    """Returns ONNX Runtime's providers for a device; raises ExportError if it is unknown or cannot be used here."""
    if device == "cpu":
        return [CPU]
    if device != "cuda":
        raise ExportError(f"there is no device {device!r}: choose {' or '.join(DEVICES)}")
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        _require_gpu()  # first: without one, 2 GB of packages would not help
        raise ExportError(f"{_installed()}, which has no GPUs: {INSTALL}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        onnxruntime.preload_dlls()  # CUDA and cuDNN out of NVIDIA's wheels; it prints what it cannot load
    missing = re.findall(r"^Failed to load ([^:\n]*)", printed.getvalue(), re.MULTILINE)
    if missing:
        _require_gpu()
        raise ExportError(f"onnxruntime-gpu finds no {', '.join(missing)}: {INSTALL}")
    onnxruntime.set_default_logger_severity(4)  # why it is not on the GPU is said in one line below
    return [(CUDA, CUDA_OPTIONS)]


def open_session(model: Path | bytes, device: str = "cpu", providers: Providers | None = None) -> Any:
    """Loads an ONNX file into ONNX Runtime.

    Args:
        model: path of the file, or its content.
        device: cpu or cuda, where it must run.
        providers: of ONNX Runtime, in place of those of the device; the first one that works is taken.

    Raises:
        ExportError: ONNX Runtime cannot load the file, or cannot run it on the device.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    chosen = providers_for(device) if providers is None else providers
    try:
        session = onnxruntime.InferenceSession(model, options, providers=list(chosen))
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        name = "the network" if isinstance(model, bytes) else model
        raise ExportError(f"ONNX Runtime cannot load {name}: {error}") from error
    require_device(session, device)
    return session


def require_device(session: Any, device: str) -> None:
    """Raises ExportError if a session does not run on the device: ONNX Runtime falls back to the CPU silently."""
    if device == "cuda" and CUDA not in session.get_providers():
        _require_gpu()
        raise ExportError(
            f"{_installed()}, which does not run this file on the GPU: the driver may be older than its CUDA; take a "
            "newer driver, or leave out --device cuda"
        )


def _require_gpu() -> None:
    try:
        gpus()
    except RepositoryError as error:
        raise ExportError(f"{error}: leave out --device cuda") from error


def _installed() -> str:
    """Says which builds of ONNX Runtime are installed; both share one folder, and the last one installed wins."""
    found = []
    for name in ("onnxruntime", "onnxruntime-gpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return f"installed here {'are' if len(found) > 1 else 'is'} {' and '.join(found) or 'an unknown ONNX Runtime'}"
