"""Figures and pictures of how well a classifier does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data.classes import CLASS_NAMES
from training.data.crops import Crops
from training.plots import draw_confusion_matrix


@dataclass(frozen=True)
class Evaluation:
    """How predictions compare with the truth.

    Attributes:
        accuracy: share of crops whose most probable class is right.
        recall: by class id, share of the class's crops found; NaN for a class without crops.
        confusion: int64 [classes, classes], rows are the truth.
        mistakes: indices of the wrong crops, the most confident mistake first.
    """

    accuracy: float
    recall: npt.NDArray[np.float64]
    confusion: npt.NDArray[np.int64]
    mistakes: npt.NDArray[np.int64]

    def metrics(self) -> dict[str, float]:
        """Returns the scalar figures by name."""
        return {"accuracy": self.accuracy, "balanced_accuracy": float(np.nanmean(self.recall))}


def evaluate(probabilities: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int64]) -> Evaluation:
    """Compares predictions with the truth.

    Args:
        probabilities: [n, classes].
        class_ids: [n].
    """
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(confusion, (class_ids, predicted), 1)
    totals = confusion.sum(axis=1)
    recall = np.divide(
        confusion.diagonal(), totals, out=np.full(len(totals), np.nan), where=totals > 0, dtype=np.float64
    )
    wrong = np.flatnonzero(predicted != class_ids)
    mistakes = wrong[np.argsort(-probabilities[wrong, predicted[wrong]])]
    return Evaluation(float((predicted == class_ids).mean()), recall, confusion, mistakes)


def save_confusion_matrix(evaluation: Evaluation, path: Path) -> None:
    """Writes the confusion matrix as a picture, with the names of the classes."""
    draw_confusion_matrix(evaluation.confusion, CLASS_NAMES, path)


def fold_indices(crops: Crops, folds: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Deals crops into folds for cross-validation; the crops of one image stay together.

    Returns:
        For each fold, the indices of its crops; together they are all crops, each once.

    Raises:
        ValueError: fewer than two folds, or more folds than images.
    """
    images = sorted(set(crops.sources))
    if not 2 <= folds <= len(images):
        raise ValueError(f"{folds} folds of {len(images)} images: choose 2 or more, at most one an image")
    order = np.random.default_rng(seed).permutation(len(images))
    fold_of = {images[image]: position % folds for position, image in enumerate(order)}
    folds_by_crop = np.array([fold_of[source] for source in crops.sources])
    return [np.flatnonzero(folds_by_crop == fold) for fold in range(folds)]
