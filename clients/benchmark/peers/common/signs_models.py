"""What all servers compute: bytes of requests in, bytes of answers out, many at a time.

It needs NumPy, Pillow and ONNX Runtime, and runs the project's own recognizer. `open_model` reads from the environment:

- CLASSIFIER: path of the ONNX file. A request holds crops, uint8 [n, height, width, 3] as they lie in memory, with the
  same n in every request; the answer is float32 [n, classes].
- DETECTOR: path of the ONNX file, or empty. With it a request holds the bytes of an image file, and the answer is JSON,
  {"signs": [{"box", "score", "class_id", "class_score"}]}.
- THREADS: threads of one run of a network; 0 for one per core.
- DEVICE: `cpu` or `cuda`.
- RUNTIME: `onnxruntime`, or `torch` for PyTorch eager.
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from clients.benchmark.onnx_network import OnnxNetwork
from serving.recognizer.recognition import Floats, Ids, Pixels, recognize
from serving.recognizer.scene import read_scene
from traffic_signs.cores import usable_cores

SCORE_THRESHOLD = 0.3  # the recognizer's own

Answer = Callable[[Sequence[bytes]], list[bytes]]


class Network(Protocol):
    """A network of one input, uint8 [n, height, width, 3]; `size` is height and width."""

    size: tuple[int, int]

    def __call__(self, images: Pixels) -> list[npt.NDArray[Any]]:
        """Returns all outputs, each with n rows."""


class Classifier:
    """Answers crops with the probabilities of all classes."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Answers bodies with the same number of crops each."""
        crops = np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, *self.network.size, 3)
        return [row.tobytes() for row in self.network(crops)[0].reshape(len(bodies), -1)]


class Recognizer:
    """Answers image files with their signs, with one run of each network for all of them."""

    def __init__(self, detector: Network, classifier: Network) -> None:
        self.detector, self.classifier = detector, classifier
        self.pool = ThreadPoolExecutor(min(8, usable_cores()))

    def __call__(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Answers the bytes of image files."""
        scenes = list(self.pool.map(lambda body: read_scene(body, *self.detector.size), bodies))
        thresholds = [SCORE_THRESHOLD] * len(scenes)
        found = recognize(scenes, thresholds, self._detect, self._classify, self.classifier.size[0], self.pool)
        return [write_signs(each.boxes, each.detection_scores, each.class_ids, each.class_scores) for each in found]

    def _detect(self, scenes: Pixels) -> tuple[Floats, Floats, Ids]:
        boxes, scores, categories = self.detector(scenes)
        return boxes, scores, categories

    def _classify(self, crops: Pixels) -> Floats:
        probabilities: Floats = self.classifier(crops)[0]
        return probabilities


def write_signs(*columns: npt.NDArray[Any]) -> bytes:
    """Returns the JSON of signs, of their boxes [n, 4], detection scores, class ids and class scores [n]."""
    names = ("box", "score", "class_id", "class_score")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return json.dumps({"signs": [dict(zip(names, row, strict=True)) for row in rows]}).encode()


def open_answer(
    classifier: Path,
    detector: Path | None,
    threads: int,
    device: str = "cpu",
    network: Callable[[Path, int, str], Network] = OnnxNetwork,
) -> Answer:
    """Returns what answers crops, or photographs if there is a detector; `network` opens the ONNX files."""
    opened = network(classifier, threads, device)
    return Recognizer(network(detector, threads, device), opened) if detector else Classifier(opened)


def open_model() -> Answer:
    """Returns what answers requests as the environment says."""
    network: Callable[[Path, int, str], Network] = OnnxNetwork
    if os.environ.get("RUNTIME") == "torch":
        from clients.benchmark.peers.common.torch_network import TorchNetwork

        network = TorchNetwork
    detector = os.environ.get("DETECTOR")
    return open_answer(
        Path(os.environ["CLASSIFIER"]),
        Path(detector) if detector else None,
        int(os.environ.get("THREADS", "0")),
        os.environ.get("DEVICE", "cpu"),
        network,
    )
