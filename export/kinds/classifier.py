"""Classifiers: crops of single signs in, a probability for each class out."""

# ruff: noqa: D102  # ModelKind says what the methods do

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from export.arrays import Images, Outputs, spread
from export.classification_parity import compare_classes, require_same_classes
from export.gate.crops import CropEvaluationSet
from export.kinds.base import ModelKind, Progress, Size, TensorSpec
from export.parity import Parity
from export.precision import Tolerance
from traffic_sign_client.errors import ClientError
from traffic_signs.classes import ClassSet
from traffic_signs.preprocessing import crop
from traffic_signs.progress import ProgressCallback
from training.classifier.evaluate import evaluate
from training.classifier.report import all_figures, write_evaluation
from training.data.crops import cut_crops
from training.data.records import Dataset, Split
from training.data.synthetic import draw_scene
from training.models import classifier

if TYPE_CHECKING:
    from export.gate.side_by_side import Staged
    from export.gate.verdict import Role
    from export.predictor import Predictor

STREET = (400, 240)  # width and height in pixels of the scenes that drawn signs are cut out of


class WithSoftmax(nn.Module):
    """A classifier whose answers are probabilities: what is served."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 [n, h, w, 3] to float32 [n, classes]; rows sum to one."""
        probabilities: Tensor = self.network(images).softmax(dim=1)
        return probabilities


class Classifier(ModelKind):
    """See `ModelKind`."""

    name, images = classifier.MODEL_NAME, "crops"
    input = TensorSpec("images", "UINT8", (None, None, 3))
    outputs = (TensorSpec("probabilities", "FP32", (None,), labelled=True),)
    max_batch = 64
    few = 7
    fewest_noises = 16
    timing_batch = 64
    # Twice as many moved no figure by more than its error.
    calibration_images, calibration_batch = 512, 16
    measure, max_loss, min_score = "accuracy", 0.002, 0.9
    takes_scenes = False

    def wrap(self, network: nn.Module) -> nn.Module:
        return WithSoftmax(network)

    def open_size(self, class_count: int) -> int:
        return class_count

    def label_names(self, classes: ClassSet) -> tuple[str, ...]:
        return classes.names

    def _draw(self, class_id: int, rng: np.random.Generator, size: Size) -> Images:
        scene, (box,) = draw_scene([class_id], rng, *STREET)
        return crop(Image.fromarray(scene), box, size[0])

    def read_images(self, dataset: Dataset, size: Size) -> Images:
        return cut_crops(dataset, "test", size[0]).images

    def read_labelled(self, dataset: Dataset, split: Split, size: Size, progress: Progress) -> tuple[Images, Any]:
        crops = cut_crops(dataset, split, size[0], progress)
        return crops.images, crops.class_ids

    def compare(self, reference: Outputs, candidate: Outputs, tolerance: Tolerance) -> Parity:
        return compare_classes(reference["probabilities"], candidate["probabilities"])

    def count_compared(self, reference: Outputs, tolerance: Tolerance) -> int:
        return len(reference["probabilities"])

    def require_parity(self, reference: Outputs, candidate: Outputs, real: int, tolerance: Tolerance) -> Parity:
        return require_same_classes(reference["probabilities"], candidate["probabilities"], real, tolerance)

    def score(self, outputs: Outputs, truth: Any, names: tuple[str, ...]) -> float:
        return float((outputs["probabilities"].argmax(axis=1) == truth).mean())

    def evaluate(
        self,
        predictor: Predictor,
        dataset: Dataset,
        split: Split,
        output: Path | None,
        classifier: Predictor | None,
        progress: ProgressCallback,
    ) -> dict[str, Any]:
        height, width = predictor.size
        if height != width:
            raise ClientError(f"the classifier takes {width}x{height} pixels: sign crops are square")
        crops = cut_crops(dataset, split, height, lambda *counts: progress("reading images", *counts))
        outputs = predictor(crops.images, lambda *counts: progress("classifying", *counts))
        probabilities, names = outputs["probabilities"], dataset.classes.names
        if probabilities.shape[1] != len(names):
            raise ClientError(
                f"the classifier tells {probabilities.shape[1]} classes apart and {dataset.name} has {len(names)}: "
                "evaluate it on data of its own classes"
            )
        evaluation = evaluate(probabilities, crops.class_ids, names)
        if output is not None:
            write_evaluation(output, evaluation, crops, probabilities)
        return all_figures(evaluation, crops, probabilities)

    def rated_images(
        self, predictor: Predictor, dataset: Dataset, split: Split, limit: int, progress: ProgressCallback
    ) -> tuple[Images, str, Callable[[Images], float]]:
        crops = cut_crops(dataset, split, predictor.size[0], lambda *counts: progress("reading images", *counts))
        crops = crops.select(spread(len(crops), limit))
        names = dataset.classes.names
        return crops.images, "accuracy", lambda images: self.score(predictor(images), crops.class_ids, names)

    def load_evaluation_set(
        self,
        dataset: Dataset,
        split: Split,
        staged: Mapping[Role, Staged],
        score_threshold: float,
        progress: ProgressCallback,
    ) -> CropEvaluationSet:
        return CropEvaluationSet(dataset, split, staged, progress)


CLASSIFIER = Classifier()
