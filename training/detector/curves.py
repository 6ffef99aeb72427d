"""Precision-recall curves."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class OperatingPoint:
    """The figures of a detector at one score threshold."""

    threshold: float  # detections with at least this score count; NaN without detections to choose it from
    hits: int  # number of signs found
    misses: int  # number of signs not found
    false_alarms: int  # number of detections without a sign, or on a sign that another one has found

    @property
    def precision(self) -> float:
        """Share of right detections; NaN without detections."""
        return _ratio(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of signs found; NaN without signs."""
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without signs."""
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
    """Counts of detections by descending threshold; detections with equal scores form one point."""

    thresholds: npt.NDArray[np.float64]  # float64 [p], the distinct scores, descending
    hits: npt.NDArray[np.int64]  # int64 [p], right detections with at least that score
    detections: npt.NDArray[np.int64]  # int64 [p], all detections with at least that score
    signs: int

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """float64 [p], ascending; NaN without signs."""
        return self.hits / self.signs if self.signs else np.full(len(self.hits), np.nan)

    @property
    def envelope(self) -> npt.NDArray[np.float64]:
        """float64 [p], the best precision at each recall or a higher one; never ascending."""
        return np.maximum.accumulate((self.hits / self.detections)[::-1])[::-1]

    @property
    def area(self) -> float:
        """Exact area below the envelope, which is a step function; NaN without signs.

        COCO samples the same steps at 101 values of recall. Linear interpolation would count thresholds that do not
        exist.
        """
        if not self.signs:
            return float("nan")
        return float((np.diff(self.recall, prepend=0.0) * self.envelope).sum())

    def at(self, threshold: float) -> OperatingPoint:
        """Returns the figures at a threshold."""
        last = int((self.thresholds >= threshold).sum()) - 1
        hits, detections = (int(self.hits[last]), int(self.detections[last])) if last >= 0 else (0, 0)
        return OperatingPoint(threshold, hits, self.signs - hits, detections - hits)

    def best(self) -> OperatingPoint:
        """Returns the point with the best F1; of several, the one with the highest threshold.

        The threshold lies halfway between the lowest score that counts and the next lower one (or 0), so that small
        rounding differences, such as those of another precision, do not move a detection across it.
        """
        if not self.signs or not len(self.thresholds):
            return self.at(float("nan"))
        best = int((2 * self.hits / (self.detections + self.signs)).argmax())
        below = np.append(self.thresholds, 0.0)[best + 1]
        return self.at(float(self.thresholds[best] + below) / 2)


def trace_curve(scores: npt.NDArray[np.float32], is_right: npt.NDArray[np.bool_], signs: int) -> Curve:
    """Computes the curve of scored detections.

    `scores` are float32 [n], in any order; `is_right`, bool [n], is whether each has found a sign that no detection
    with a higher score has found.
    """
    thresholds, places, detections = np.unique(-scores.astype(np.float64), return_inverse=True, return_counts=True)
    hits = np.bincount(places, weights=is_right, minlength=len(thresholds)).astype(np.int64)
    return Curve(-thresholds, hits.cumsum(), detections.cumsum(), signs)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
