"""The code of the recognizer on two networks, without a server."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.arrays import Images
from export.model_kind import Predictor
from serving.recognizer.recognition import Signs, recognize
from serving.recognizer.scene import Scene, see_scene


class LocalRecognizer:
    """Finds and names signs in photographs.

    Args:
        classifier: names the signs; None gives all of them class 0 with a score of 1.
        score_threshold: lowest detection score that counts as a sign.
    """

    def __init__(
        self,
        detector: Predictor,
        classifier: Predictor | None,
        score_threshold: float,
        models: Mapping[str, int] | None = None,
    ) -> None:
        self.score_threshold, self.models = score_threshold, dict(models or {})
        self._detector, self._classifier = detector, classifier
        # A network uses all cores: scenes are decoded in parallel, and recognized one after another.
        self._lock, self._pool = threading.Lock(), ThreadPoolExecutor(1)

    def __call__(self, photograph: Image.Image) -> tuple[Scene, Signs]:
        """Returns the scene and signs of a photograph, RGB; several threads may call it."""
        scene = see_scene(photograph, *self._detector.size)
        side = self._classifier.size[0] if self._classifier else 1
        with self._lock:
            (signs,) = recognize([scene], [self.score_threshold], self._detect, self._name, side, self._pool)
        return scene, signs

    def _detect(self, scenes: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        found = self._detector(scenes)
        return found["boxes"], found["scores"], found["categories"]

    def _name(self, crops: Images) -> npt.NDArray[np.float32]:
        if self._classifier is None:
            return np.ones((len(crops), 1), np.float32)
        return self._classifier(crops)["probabilities"]
