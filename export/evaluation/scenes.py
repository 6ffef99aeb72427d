"""Evaluates detectors, alone or with a classifier, and recognizers of servers on whole scenes.

The figures are those of `training.detector.evaluate`: of the four categories, as in the benchmark, and of all classes
if the signs are named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.errors import ExportError
from export.gate.statistics import Ranked, estimate_precision, signs_by_scene
from export.local_recognizer import LocalRecognizer
from export.model_kind import Predictor
from traffic_sign_client.client import SignClient
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError
from traffic_signs.classes import BENCHMARK_CATEGORIES, ClassSet
from training.data.records import FEEDBACK, Dataset, Split
from training.detector.detections import Detections
from training.detector.evaluate import DetectionEvaluation, evaluate_detections
from training.detector.scenes import load_scenes
from training.detector.task import labelled

CONFIDENCE = 0.975  # of each of the two bounds of an interval
FLOOR = 0.01  # lower scores are noise, and a detector returns 100 a scene


@dataclass(frozen=True)
class SceneAnswer:
    """The detections in one scene."""

    signs: Detections  # with category ids for labels
    # The same signs with class ids for labels; each score is detection score times class score. None without names.
    named: Detections | None = None


Find = Callable[[Image.Image, bytes], SceneAnswer]


def require_scenes(dataset: Dataset) -> None:
    """Raises ExportError for a data set without whole scenes of a camera."""
    if not dataset.has_scenes or dataset.kind == FEEDBACK:
        raise ExportError(f"{dataset.name} has no street scenes: give gtsdb=PATH, coco=PATH or yolo=PATH")


def evaluate_scenes(
    find: Find, dataset: Dataset, split: Split, output: Path | None, progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Finds the signs of a split's scenes and compares them with the labels.

    Args:
        find: called with each decoded scene and its encoded bytes.
        output: folder for the figures and pictures, or None.

    Returns:
        `DetectionEvaluation.as_dict` of `categories` and, if the signs are named, of `classes`, both with `_interval`.

    Raises:
        training.errors.DataError: the data cannot be used.
    """
    scenes = load_scenes(dataset, split, lambda *counts: progress("reading scenes", *counts))
    samples = {sample.image: sample for sample in dataset.split(split)}
    answers = []
    for done, (name, image) in enumerate(zip(scenes.names, scenes.images, strict=True), start=1):
        answers.append(find(Image.fromarray(image), dataset.read(samples[name])))
        progress("finding signs", done, len(scenes))

    def rate(what: str, truth: list[Detections], found: list[Detections], names: tuple[str, ...]) -> dict[str, Any]:
        evaluation = evaluate_detections(truth, found, names)
        interval = _interval(evaluation, truth, found)
        if output is not None:
            from training.detector.report import write_detection_evaluation  # it draws, and Matplotlib keeps a cache

            read = lambda at: Image.fromarray(scenes.images[at])  # noqa: E731
            write_detection_evaluation(output / what, evaluation, truth, found, read, scenes.names, interval)
        return evaluation.as_dict() | interval

    truth = labelled(scenes)
    figures = {
        "categories": rate("categories", truth, [each.signs for each in answers], dataset.classes.category_names)
    }
    named = [each.named for each in answers if each.named is not None]
    if len(named) == len(answers):
        pairs = zip(truth, scenes.class_ids, strict=True)
        classes = [Detections(signs.boxes, signs.scores, class_ids) for signs, class_ids in pairs]
        figures["classes"] = rate("classes", classes, named, dataset.classes.names)
    return figures


def _interval(
    evaluation: DetectionEvaluation, truth: Sequence[Detections], found: Sequence[Detections]
) -> dict[str, list[float] | None]:
    """Returns the bounds of the 95% interval of mAP50, by a bootstrap over the scenes.

    The key is `map50_benchmark_interval` if there are the benchmark's categories, and else `map50_interval`. It is of
    the exact area below precision over recall, which differs from COCO's by at most 0.01. None if all resamples agree,
    as without a mistake.
    """
    names = [label.name for label in evaluation.labels]
    signs, key = signs_by_scene(truth, len(names)), "map50_interval"
    if set(BENCHMARK_CATEGORIES) <= set(names):
        signs, key = signs * np.isin(names, BENCHMARK_CATEGORIES), "map50_benchmark_interval"
    if not signs.any():
        return {key: None}
    estimate = estimate_precision(Ranked.of(found, evaluation.matches), signs, CONFIDENCE)
    return {key: [estimate.lower, estimate.upper] if estimate.lower < estimate.upper else None}


def local_finder(detector: Predictor, classifier: Predictor | None) -> Find:
    """Returns a finder that runs the recognizer's code on a detector and, if given, a classifier."""
    recognizer = LocalRecognizer(detector, classifier, FLOOR)

    def find(photograph: Image.Image, data: bytes) -> SceneAnswer:
        _, signs = recognizer(photograph)
        found = Detections(signs.boxes, signs.detection_scores, signs.categories.astype(np.int64))
        return SceneAnswer(found) if classifier is None else _named(found, signs.class_ids, signs.class_scores)

    return find


def served_recognizer(url: str, protocol: Protocol, name: str, version: str, classes: ClassSet) -> Find:
    """Returns a finder that sends the encoded scenes to a server's recognizer of these classes.

    Raises:
        ClientError: the server cannot be reached, does not serve the model, or serves one of other classes.
    """
    client = SignClient(url, protocol, recognizer=f"{name}/{version}", timeout=60.0)

    def find(photograph: Image.Image, data: bytes) -> SceneAnswer:
        found = client.recognize(data, score_threshold=FLOOR, unknown_threshold=0)  # the ranking needs all names
        boxes = np.array([sign.box for sign in found], np.float32).reshape(-1, 4)
        scores = np.array([sign.score for sign in found], np.float32)
        categories = _ids(classes.category_names, [sign.category for sign in found])
        class_ids = _ids(classes.names, [sign.name for sign in found])
        class_scores = np.array([sign.class_score for sign in found], np.float32)
        return _named(Detections(boxes, scores, categories), class_ids, class_scores)

    return find


def _ids(known: tuple[str, ...], names: list[str]) -> npt.NDArray[np.int64]:
    """Returns the ids of names, int64 [n]; raises ClientError if the data have no such class."""
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise ClientError(
            f"the recognizer answers {unknown!r}, and the data have {', '.join(known)}: evaluate it on data of its own "
            "classes"
        )
    return np.array([known.index(name) for name in names], np.int64)


def _named(signs: Detections, class_ids: npt.NDArray[Any], class_scores: npt.NDArray[np.float32]) -> SceneAnswer:
    """Adds signs with classes for labels; the classifier decides if the category disagrees."""
    scores = (signs.scores * class_scores).astype(np.float32)
    return SceneAnswer(signs, Detections(signs.boxes, scores, class_ids.astype(np.int64)))
