"""What all peers compute, whoever serves it: bytes of requests in, bytes of answers out, many at a time.

Somebody who serves with one of these frameworks writes this once. It imports NumPy, Pillow and ONNX Runtime alone, and
reads from the environment what to serve:

- TASK: `classify` (crops, uint8 [n, height, width, 3] as they lie in memory, as many in every request, to float32
  [n, classes]) or `recognize` (the bytes of an image file to JSON, {"signs": [{"box", "score", "category", "class_id",
  "class_score"}]}).
- CLASSIFIER and, to recognize, DETECTOR: paths of the ONNX files.
- THREADS: of one run of a network; 0 for as many as cores.
- DEVICE: `cpu`, the default, or `cuda`.
"""

import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

# As the project's recognizer has them, so that the answers must be equal.
CROP_MARGIN = 0.1
SCENE_FILL = 127
SCORE_THRESHOLD = 0.3
SMALLEST_SIDE = 1.0
FORMATS = ("JPEG", "PNG", "PPM", "WEBP", "BMP")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 is off, as in what the project serves: its answers would differ.
PROVIDERS: dict[str, list[Any]] = {"cpu": [CPU], "cuda": [(CUDA, {"use_tf32": "0"})]}

Pixels = npt.NDArray[np.uint8]
Answer = Callable[[Sequence[bytes]], list[bytes]]


class Network(Protocol):
    """A network of one input, uint8 [n, height, width, 3]; `size` is height and width."""

    size: tuple[int, int]

    def __call__(self, images: Pixels) -> list[npt.NDArray[Any]]:
        """Returns all outputs, each with n rows."""


class OnnxNetwork:
    """A network in ONNX Runtime.

    Args:
        path: of the ONNX file.
        threads: of one run; 0 for as many as cores.
        device: `cpu` or `cuda`.

    Attributes:
        size: height and width of the input.
        largest: images that one run takes at most, where the batch is fixed inside the file; 0 for any number.

    Raises:
        RuntimeError: there is no GPU that ONNX Runtime can use; it would take the CPU.
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

    def __call__(self, images: Pixels) -> list[npt.NDArray[Any]]:
        """Returns all outputs, each with n rows."""
        step = self.largest or len(images)
        parts = [
            self.session.run(None, {self.name: images[start : start + step]}) for start in range(0, len(images), step)
        ]
        return parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]


class Classifier:
    """Answers crops with probabilities."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Maps bodies of as many crops each to the probabilities of all classes."""
        crops = np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, *self.network.size, 3)
        return [row.tobytes() for row in self.network(crops)[0].reshape(len(bodies), -1)]


class Recognizer:
    """Answers photographs with the signs in them."""

    def __init__(self, detector: Network, classifier: Network) -> None:
        self.detector, self.classifier = detector, classifier
        self.pool = ThreadPoolExecutor(max(1, min(8, len(os.sched_getaffinity(0)))))

    def __call__(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Maps image files to their signs, with one run of each network."""
        photographs, scenes, scales = zip(*self.pool.map(self._read, bodies), strict=True)
        boxes, scores, categories = self.detector(np.stack(scenes))
        found = [
            _clip(photograph, *each)
            for photograph, *each in zip(photographs, scales, boxes, scores, categories, strict=True)
        ]
        crops = [
            _crop(photograph, box, self.classifier.size[0])
            for photograph, signs in zip(photographs, found, strict=True)
            for box, _, _ in signs
        ]
        rows = iter(self.classifier(np.stack(crops))[0] if crops else ())
        return [json.dumps({"signs": [_sign(*sign, next(rows)) for sign in signs]}).encode() for signs in found]

    def _read(self, body: bytes) -> tuple[Image.Image, Pixels, tuple[float, float]]:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            photograph = ImageOps.exif_transpose(image).convert("RGB")
        height, width = self.detector.size
        factor = min(1.0, width / photograph.width, height / photograph.height)
        inside = (max(1, round(photograph.width * factor)), max(1, round(photograph.height * factor)))
        small = photograph if inside == photograph.size else photograph.resize(inside, Image.Resampling.BILINEAR)
        scene = np.full((height, width, 3), SCENE_FILL, np.uint8)
        scene[: inside[1], : inside[0]] = np.asarray(small)
        return photograph, scene, (inside[0] / photograph.width, inside[1] / photograph.height)


def open_model(open_network: Callable[[Path, int, str], Network] = OnnxNetwork) -> Answer:
    """Returns what answers requests of the task that the environment names.

    Args:
        open_network: reads an ONNX file, for the threads of one run and a device.
    """
    threads, device = int(os.environ.get("THREADS", "0")), os.environ.get("DEVICE", "cpu")
    classifier = open_network(Path(os.environ["CLASSIFIER"]), threads, device)
    if os.environ["TASK"] == "classify":
        return Classifier(classifier)
    return Recognizer(open_network(Path(os.environ["DETECTOR"]), threads, device), classifier)


def _clip(
    photograph: Image.Image, scale: tuple[float, float], boxes: Any, scores: Any, categories: Any
) -> list[tuple[npt.NDArray[np.float32], float, int]]:
    width, height = photograph.size
    inside = (boxes / np.array(scale * 2)).clip(0, [width, height, width, height]).astype(np.float32)
    sides = inside[:, 2:] - inside[:, :2]
    kept = (scores >= SCORE_THRESHOLD) & (sides >= SMALLEST_SIDE).all(axis=1)
    return [(inside[index], float(scores[index]), int(categories[index])) for index in np.flatnonzero(kept)]


def _crop(photograph: Image.Image, box: npt.NDArray[np.float32], size: int) -> Pixels:
    left, top, right, bottom = map(float, box)
    across, down = CROP_MARGIN * (right - left), CROP_MARGIN * (bottom - top)
    wide = (
        max(0.0, left - across),
        max(0.0, top - down),
        min(float(photograph.width), right + across),
        min(float(photograph.height), bottom + down),
    )
    return np.asarray(photograph.resize((size, size), Image.Resampling.BILINEAR, box=wide), np.uint8)


def _sign(box: npt.NDArray[np.float32], score: float, category: int, row: npt.NDArray[np.float32]) -> dict[str, Any]:
    class_id = int(row.argmax())
    return {
        "box": box.tolist(),
        "score": score,
        "category": category,
        "class_id": class_id,
        "class_score": float(row[class_id]),
    }
