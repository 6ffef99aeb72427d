"""Evaluation of a classifier from its probabilities, whichever runtime has computed them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from training.classifier.calibration import Reliability, reliability


@dataclass(frozen=True)
class Evaluation:
    """The result of comparing predictions with labels."""

    accuracy: float  # share of crops whose most probable class is right
    recall: npt.NDArray[np.float64]  # share of each class's crops that are right, by class id; NaN without crops
    confusion: npt.NDArray[np.int64]  # int64 [classes, classes], rows are the true classes
    mistakes: npt.NDArray[np.int64]  # indices of the wrong crops, by descending confidence
    reliability: Reliability  # accuracy by confidence
    class_names: tuple[str, ...]  # by class id

    def metrics(self) -> dict[str, float]:
        """Returns the scalar figures by name; `ece` is the expected calibration error."""
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": float(np.nanmean(self.recall)),
            "ece": self.reliability.expected_calibration_error,
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns all figures in JSON types; classes without crops have a recall of None."""
        totals = self.confusion.sum(axis=1)
        return {
            "samples": int(totals.sum()),
            "wrong": len(self.mistakes),
            **self.metrics(),
            "accuracy_interval": _wilson(int(totals.sum()) - len(self.mistakes), int(totals.sum())),
            "classes": [
                {
                    "class_id": class_id,
                    "name": name,
                    "samples": int(totals[class_id]),
                    "recall": float(self.recall[class_id]) if totals[class_id] else None,
                }
                for class_id, name in enumerate(self.class_names)
            ],
            "confusion": self.confusion.tolist(),
        }


def _wilson(right: int, samples: int) -> list[float]:
    """Returns the bounds of the 95% interval of a share (Wilson, 1927, doi 10.1080/01621459.1927.10502953).

    It counts samples as independent. Frames of one track are not, so that the true interval is wider.
    """
    interval = binomtest(right, samples).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


def evaluate(
    probabilities: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int64], class_names: tuple[str, ...]
) -> Evaluation:
    """Compares predictions, float32 [n, classes], with the labels `class_ids`, int64 [n]."""
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(confusion, (class_ids, predicted), 1)
    totals = confusion.sum(axis=1)
    recall = np.divide(
        confusion.diagonal(), totals, out=np.full(len(totals), np.nan), where=totals > 0, dtype=np.float64
    )
    wrong = np.flatnonzero(predicted != class_ids)
    mistakes = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    accuracy = float((predicted == class_ids).mean())
    trust = reliability(probabilities, class_ids)
    return Evaluation(accuracy, recall, confusion, mistakes, trust, class_names)
