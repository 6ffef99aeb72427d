"""Runs the code of the recognizer over whole scenes, on the models of a repository, without a server."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.errors import ExportError
from export.evaluation.scenes import require_scenes
from export.kinds import CLASSIFIER, DETECTOR
from export.local_recognizer import LocalRecognizer
from export.predictor import OnnxPredictor
from export.reference import Measurements, Reference
from export.repository import versions
from export.repository.policy import read_config, served
from serving.recognizer.recognition import Signs
from traffic_signs.progress import ProgressCallback, silent
from training.data.images import read_images
from training.data.records import Dataset, Sample, Split

MIN_SCENES = 50  # a test of shares needs five in each tenth

Alter = Callable[[Image.Image], Image.Image]


def open_recognizer(
    repository: Path, score_threshold: float, models: Mapping[str, int] | None = None
) -> LocalRecognizer:
    """Opens a recognizer on versions of a repository's detector and classifier, by name; the served ones for None.

    Raises:
        ExportError: one is missing, or ONNX Runtime cannot load it.
    """
    names = (DETECTOR.name, CLASSIFIER.name)
    models = models or {name: served_version(repository, name) for name in names}
    detector, classifier = (OnnxPredictor(repository / name / str(models[name]) / "model.onnx") for name in names)
    return LocalRecognizer(detector, classifier, score_threshold, models)


def served_version(repository: Path, model: str) -> int:
    """Returns the highest served version of a model, which the recognizer calls; raises ExportError for none."""
    path = repository / model / "config.pbtxt"
    chosen = served(read_config(path.read_bytes(), str(path)), versions(repository, model)) if path.is_file() else []
    if not chosen:
        raise ExportError(
            f"{repository} serves no {model}, which the recognizer calls: publish one with `signs export onnx`"
        )
    return chosen[-1]


def measure_scenes(
    recognizer: LocalRecognizer,
    dataset: Dataset,
    samples: list[Sample],
    progress: ProgressCallback = silent,
    alter: Alter | None = None,
) -> tuple[Measurements, str]:
    """Runs the recognizer over scenes, without their labels, after `alter` has changed each photograph.

    Returns what its metrics would observe, and the fingerprint of the scenes.

    Raises:
        ExportError: the data set has no scenes.
        training.errors.DataError: a scene cannot be read.
    """
    require_scenes(dataset)

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
    recognizer: LocalRecognizer, dataset: Dataset, split: Split, progress: ProgressCallback = silent
) -> Reference:
    """Measures the scenes of one split of a data set.

    Raises:
        ExportError: it has fewer than MIN_SCENES street scenes.
        training.errors.DataError: a scene cannot be read.
    """
    samples = list(dataset.split(split))
    if len(samples) < MIN_SCENES:
        raise ExportError(
            f"{dataset.name} has {len(samples)} {split} scenes: a reference needs {MIN_SCENES}, and more show smaller "
            "changes. Give more scenes or another split, or leave out --reference"
        )
    measurements, fingerprint = measure_scenes(recognizer, dataset, samples, progress)
    models, threshold = recognizer.models, recognizer.score_threshold
    return Reference(dataset.name, split, fingerprint, models, threshold, measurements)


def _joined(values: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    return np.concatenate(values).astype(np.float64)
