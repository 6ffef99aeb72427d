"""Detectors: whole scenes in, boxes with scores and categories out."""

# ruff: noqa: D102  # ModelKind says what the methods do

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from export.arrays import Images, Outputs, spread
from export.detection_parity import compare_signs, count_signs, read_detections, require_same_signs
from export.errors import ExportError
from export.evaluation.scenes import evaluate_scenes, local_finder
from export.gate.scenes import SceneEvaluationSet
from export.kinds.base import ModelKind, Progress, Size, TensorSpec
from export.parity import Parity
from export.precision import Tolerance
from traffic_sign_client.errors import ClientError
from traffic_signs.classes import ClassSet
from traffic_signs.preprocessing import decode, fit_scene
from traffic_signs.progress import ProgressCallback
from training.data.records import FEEDBACK, Dataset, Split
from training.data.synthetic import draw_scene
from training.detector.evaluate import evaluate_detections
from training.detector.scenes import load_scenes
from training.detector.task import labelled
from training.models import detector

if TYPE_CHECKING:
    from export.gate.side_by_side import Staged
    from export.gate.verdict import Role
    from export.predictor import Predictor


class WithPeaks(nn.Module):
    """A detector whose answers are boxes, scores and categories: what is served."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, scenes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps uint8 [n, h, w, 3] to what `training.models.detector.Found` describes."""
        found = detector.find_peaks(self.network(scenes), scenes.shape[1], scenes.shape[2])
        return found.boxes, found.scores, found.categories


class Detector(ModelKind):
    """See `ModelKind`."""

    name, images = detector.MODEL_NAME, "scenes"
    input = TensorSpec("scenes", "UINT8", (None, None, 3))
    outputs = (
        TensorSpec("boxes", "FP32", (None, 4)),
        TensorSpec("scores", "FP32", (None,)),
        TensorSpec("categories", "INT32", (None,)),
    )
    max_batch = 4  # scenes of 3.3 MB: more at once gain nothing
    # A batch of 64 crops takes a GPU hardly longer than one crop; but four scenes take nearly three times as long as
    # one, so a single scene has its own branch.
    smaller_batches = (1,)
    few = 3
    most_compared = 16  # a scene is as much work as 500 crops
    fewest_noises = 2
    timing_batch = 1
    calibration_images, calibration_batch = 32, 1
    measure, max_loss, min_score = "map50", 0.01, 0.5
    takes_scenes = True

    def wrap(self, network: nn.Module) -> nn.Module:
        return WithPeaks(network)

    def open_size(self, class_count: int) -> int:
        return detector.MAX_DETECTIONS

    def label_names(self, classes: ClassSet) -> tuple[str, ...]:
        return classes.category_names

    def _draw(self, class_id: int, rng: np.random.Generator, size: Size) -> Images:
        height, width = size
        return draw_scene([class_id], rng, width, height)[0]

    def read_images(self, dataset: Dataset, size: Size) -> Images:
        _require_scenes(dataset)
        samples = itertools.islice(dataset.split("test"), self.most_compared)
        return np.stack([fit_scene(decode(dataset.read(sample)), *size).pixels for sample in samples])

    def read_labelled(self, dataset: Dataset, split: Split, size: Size, progress: Progress) -> tuple[Images, Any]:
        _require_scenes(dataset)
        scenes = load_scenes(dataset, split, progress)
        fitted = [fit_scene(Image.fromarray(pixels), *size) for pixels in scenes.images]
        truth = [
            replace(signs, boxes=(signs.boxes * np.array(scene.scale)).astype(np.float32))
            for scene, signs in zip(fitted, labelled(scenes), strict=True)
        ]
        return np.stack([scene.pixels for scene in fitted]), tuple(truth)

    def compare(self, reference: Outputs, candidate: Outputs, tolerance: Tolerance) -> Parity:
        return compare_signs(reference, candidate, tolerance)[0]

    def count_compared(self, reference: Outputs, tolerance: Tolerance) -> int:
        return count_signs(reference, tolerance)

    def require_parity(self, reference: Outputs, candidate: Outputs, real: int, tolerance: Tolerance) -> Parity:
        return require_same_signs(reference, candidate, real, tolerance)

    def score(self, outputs: Outputs, truth: Any, names: tuple[str, ...]) -> float:
        return evaluate_detections(truth, read_detections(outputs), names).metrics()["map50"]

    def evaluate(
        self,
        predictor: Predictor,
        dataset: Dataset,
        split: Split,
        output: Path | None,
        classifier: Predictor | None,
        progress: ProgressCallback,
    ) -> dict[str, Any]:
        return evaluate_scenes(local_finder(predictor, classifier), dataset, split, output, progress)

    def rated_images(
        self, predictor: Predictor, dataset: Dataset, split: Split, limit: int, progress: ProgressCallback
    ) -> tuple[Images, str, Callable[[Images], float]]:
        if not dataset.has_scenes:
            raise ClientError(f"{dataset.name} has no street scenes: measure a detector on gtsdb=PATH")
        find = local_finder(predictor, None)
        scenes = load_scenes(dataset, split, lambda *counts: progress("reading scenes", *counts))
        scenes = scenes.select(spread(len(scenes), limit))
        if len({image.shape for image in scenes.images}) != 1:
            raise ClientError(f"the scenes of {dataset.name} differ in size: give gtsdb=PATH")
        truth = labelled(scenes)

        def average_precision(images: Images) -> float:
            found = [find(Image.fromarray(image), b"").signs for image in images]
            figures = evaluate_detections(truth, found, scenes.classes.category_names).metrics()
            return figures.get("map50_benchmark", figures["map50"])

        return np.stack(scenes.images), "mAP50", average_precision

    def load_evaluation_set(
        self,
        dataset: Dataset,
        split: Split,
        staged: Mapping[Role, Staged],
        score_threshold: float,
        progress: ProgressCallback,
    ) -> SceneEvaluationSet:
        if not dataset.has_scenes:
            raise ClientError(f"{dataset.name} has no street scenes: evaluate a detector on gtsdb=PATH")
        return SceneEvaluationSet(dataset, split, staged, score_threshold, progress)


def _require_scenes(dataset: Dataset) -> None:
    if not dataset.has_scenes or dataset.kind == FEEDBACK:
        raise ExportError(
            f"{dataset.name} has no street scenes: prove a detector on gtsdb=PATH, coco=PATH or yolo=PATH"
        )


DETECTOR = Detector()
