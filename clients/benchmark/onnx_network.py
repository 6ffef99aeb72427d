"""A network in ONNX Runtime, without a server."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 is off, as in what the project serves: its answers would differ.
PROVIDERS: dict[str, list[Any]] = {"cpu": [CPU], "cuda": [(CUDA, {"use_tf32": "0"})]}


class OnnxNetwork:
    """A network in ONNX Runtime, on `cpu` or `cuda`; 0 threads are one per core.

    Attributes:
        size: height and width of the input.
        largest: most images of one run if the file has a fixed batch, else 0.

    Raises:
        RuntimeError: ONNX Runtime finds no usable GPU; it would silently take the CPU.
    """

    def __init__(self, path: Path, threads: int, device: str = "cpu") -> None:
        import onnxruntime

        if device == "cuda":
            onnxruntime.preload_dlls()  # CUDA and cuDNN out of NVIDIA's wheels
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=PROVIDERS[device])
        if device == "cuda" and CUDA not in self.session.get_providers():
            raise RuntimeError(f"ONNX Runtime {onnxruntime.__version__} cannot use a GPU here")
        (taken,) = self.session.get_inputs()
        self.name = taken.name
        self.size = (taken.shape[1], taken.shape[2])
        sizes = self.session.get_modelmeta().custom_metadata_map.get("fixed_batches", "0")
        self.largest = max(int(size) for size in sizes.split(","))

    def __call__(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """Returns all outputs, each with n rows."""
        step = self.largest or len(images)
        parts = [
            self.session.run(None, {self.name: images[start : start + step]}) for start in range(0, len(images), step)
        ]
        return parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]
