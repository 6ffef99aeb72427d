"""Runs the recognizer over whole scenes without a server: its own code, on the models of a repository."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.detection_parity import onnxruntime_detector
from export.errors import ExportError
from export.parity import MAX_BATCH, input_size, onnxruntime_predictor
from export.reference import Measurements, Reference
from export.repository import versions
from export.repository.policy import read_config, served
from serving.recognizer.recognition import Signs, recognize
from serving.recognizer.scene import Scene, see_scene
from traffic_signs.progress import ProgressCallback, silent
from training.data.images import read_images
from training.data.records import FEEDBACK, Dataset, Sample, Split
from training.models.classifier import MODEL_NAME as CLASSIFIER
from training.models.detector import MODEL_NAME as DETECTOR

FEWEST = 50  # scenes: with fewer a tenth of them is less than the five that a test of shares needs

Alter = Callable[[Image.Image], Image.Image]


class InProcess:
    """A recognizer in this process, on the files of a repository.

    Args:
        repository: folder of the Triton models.
        models: version of the detector and of the classifier to ask, by model.
        score_threshold: lowest detection score that counts as a sign.

    Raises:
        ExportError: ONNX Runtime cannot load one of them.
    """

    def __init__(self, repository: Path, models: dict[str, int], score_threshold: float) -> None:
        self.models, self.score_threshold = models, score_threshold
        detector, classifier = (repository / name / str(models[name]) / "model.onnx" for name in (DETECTOR, CLASSIFIER))
        self._size, (self._side, _) = input_size(detector), input_size(classifier)
        detect, self._classify = onnxruntime_detector(detector), onnxruntime_predictor(classifier)
        self._detect = lambda scenes: detect(scenes).arrays()
        # The networks use all cores by themselves: scenes are decoded beside each other, and asked about in turn.
        self._lock, self._pool = threading.Lock(), ThreadPoolExecutor(1)

    def __call__(self, photograph: Image.Image) -> tuple[Scene, Signs]:
        """Returns what the recognizer sees in a photograph, RGB; may be called by several threads."""
        scene = see_scene(photograph, *self._size)
        with self._lock:
            (signs,) = recognize([scene], [self.score_threshold], self._detect, self._name, self._side, self._pool)
        return scene, signs

    def _name(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        parts = [self._classify(crops[start : start + MAX_BATCH]) for start in range(0, len(crops), MAX_BATCH)]
        return np.concatenate(parts)


def open_recognizer(repository: Path, score_threshold: float) -> InProcess:
    """Opens a recognizer on the models that a repository serves; raises as `served_version` and `InProcess` do."""
    models = {model: served_version(repository, model) for model in (DETECTOR, CLASSIFIER)}
    return InProcess(repository, models, score_threshold)


def served_version(repository: Path, model: str) -> int:
    """Returns the version of a model that the recognizer is answered by: the highest that is served.

    Raises:
        ExportError: there is none.
    """
    path = repository / model / "config.pbtxt"
    chosen = served(read_config(path.read_bytes(), str(path)), versions(repository, model)) if path.is_file() else []
    if not chosen:
        raise ExportError(
            f"{repository} serves no {model}, which the recognizer calls: publish one with `signs export onnx`"
        )
    return chosen[-1]


def measure_scenes(
    recognizer: InProcess,
    dataset: Dataset,
    samples: list[Sample],
    progress: ProgressCallback = silent,
    alter: Alter | None = None,
) -> tuple[Measurements, str]:
    """Runs the recognizer over scenes; labels are not looked at.

    Args:
        recognizer: on the models to ask.
        dataset: where the scenes are.
        samples: which of them.
        progress: shows how much is done.
        alter: changes each photograph before it is looked at.

    Returns:
        What its metrics would observe, and the fingerprint of the scenes.

    Raises:
        ExportError: the data set has no scenes.
        training.errors.DataError: a scene cannot be read.
    """
    if not dataset.has_scenes or dataset.kind == FEEDBACK:
        raise ExportError(f"{dataset.name} has no street scenes: give gtsdb=PATH, coco=PATH or yolo=PATH")

    def look(_: Sample, photograph: Image.Image) -> tuple[float, float, Signs]:
        scene, signs = recognizer(alter(photograph) if alter else photograph)
        return scene.brightness, scene.sharpness, signs

    seen, fingerprint = read_images(dataset, samples, look, lambda *counts: progress("measuring scenes", *counts))
    brightness, sharpness, signs = zip(*seen, strict=True)
    return (
        Measurements(
            {"scene_brightness": np.array(brightness), "scene_sharpness": np.array(sharpness)},
            {
                "detection_score": _joined([each.detection_scores for each in signs]),
                "class_score": _joined([each.class_scores for each in signs]),
                "sign_size_pixels": _joined([each.sizes for each in signs]),
            },
            np.concatenate([each.class_ids for each in signs]).astype(np.int64),
            np.repeat(np.arange(len(signs)), [len(each.boxes) for each in signs]),
        ),
        fingerprint,
    )


def make_reference(
    recognizer: InProcess, dataset: Dataset, split: Split, progress: ProgressCallback = silent
) -> Reference:
    """Measures the scenes of one split of a data set.

    Raises:
        ExportError: it has fewer than FEWEST scenes, or none of another kind of data.
        training.errors.DataError: a scene cannot be read.
    """
    samples = list(dataset.split(split))
    if len(samples) < FEWEST:
        raise ExportError(
            f"{dataset.name} has {len(samples)} {split} scenes: a reference needs {FEWEST}, and more tell smaller "
            "changes. Give the whole benchmark, or another split"
        )
    measurements, fingerprint = measure_scenes(recognizer, dataset, samples, progress)
    models, threshold = recognizer.models, recognizer.score_threshold
    return Reference(dataset.name, split, fingerprint, models, threshold, measurements)


def _joined(values: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    return np.concatenate(values).astype(np.float64)
