"""Precision and recall by score threshold."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class OperatingPoint:
    """What a detector does when only detections of a score count.

    Attributes:
        threshold: detections of this score or more count; NaN where nothing was found to choose it by.
        hits: signs found.
        misses: signs not found.
        false_alarms: detections that are no sign, or one that another detection has found already.
    """

    threshold: float
    hits: int
    misses: int
    false_alarms: int

    @property
    def precision(self) -> float:
        """Share of the detections that are right; NaN where none counts."""
        return _ratio(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of the signs that are found; NaN where there are none."""
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN where there are no signs."""
        if self.hits + self.misses == 0:
            return float("nan")
        return _ratio(2 * self.hits, 2 * self.hits + self.misses + self.false_alarms)

    def metrics(self) -> dict[str, float]:
        """Returns all figures by name."""
        return {
            "threshold": self.threshold,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "hits": self.hits,
            "misses": self.misses,
            "false_alarms": self.false_alarms,
        }


@dataclass(frozen=True)
class Curve:
    """Detections counted by falling threshold; those of one score can only be had together.

    Attributes:
        thresholds: float64 [p], the scores that occur, the highest first.
        hits: int64 [p], right detections of that score or more.
        detections: int64 [p], all of them.
        signs: how many there are to find.
    """

    thresholds: npt.NDArray[np.float64]
    hits: npt.NDArray[np.int64]
    detections: npt.NDArray[np.int64]
    signs: int

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """float64 [p], rising; NaN where there are no signs."""
        return self.hits / self.signs if self.signs else np.full(len(self.hits), np.nan)

    @property
    def envelope(self) -> npt.NDArray[np.float64]:
        """float64 [p], the best precision that can be had at each recall or a higher one; never rising."""
        return np.maximum.accumulate((self.hits / self.detections)[::-1])[::-1]

    @property
    def area(self) -> float:
        """Exact area below the envelope, which is a staircase; what is never found adds nothing.

        These are the steps that COCO samples at 101 values of recall. A line from point to point (trapezia) would
        promise thresholds that do not exist. NaN where there are no signs.
        """
        if not self.signs:
            return float("nan")
        return float((np.diff(self.recall, prepend=0.0) * self.envelope).sum())

    def at(self, threshold: float) -> OperatingPoint:
        """Returns what comes out when detections of `threshold` or more count."""
        last = int((self.thresholds >= threshold).sum()) - 1
        hits, detections = (int(self.hits[last]), int(self.detections[last])) if last >= 0 else (0, 0)
        return OperatingPoint(threshold, hits, self.signs - hits, detections - hits)

    def best(self) -> OperatingPoint:
        """Returns the point of the best F1, and of several such points the one with the highest threshold.

        The threshold lies halfway between the lowest score that counts and the next one (or 0): so a score that
        rounding changes a little, as another precision of the network does, stays on its side.
        """
        if not self.signs or not len(self.thresholds):
            return self.at(float("nan"))
        best = int((2 * self.hits / (self.detections + self.signs)).argmax())
        below = np.append(self.thresholds, 0.0)[best + 1]
        return self.at(float(self.thresholds[best] + below) / 2)


def trace_curve(scores: npt.NDArray[np.float32], is_right: npt.NDArray[np.bool_], signs: int) -> Curve:
    """Counts detections by falling threshold.

    Args:
        scores: [n], in any order.
        is_right: [n], whether each has found a sign that none of a higher score had found.
        signs: how many there are to find.
    """
    thresholds, places, detections = np.unique(-scores.astype(np.float64), return_inverse=True, return_counts=True)
    hits = np.bincount(places, weights=is_right, minlength=len(thresholds)).astype(np.int64)
    return Curve(-thresholds, hits.cumsum(), detections.cumsum(), signs)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
