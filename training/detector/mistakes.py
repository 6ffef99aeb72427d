"""Lists the false alarms and the missed signs of an evaluation, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.detector.detections import Detections, long_sides, overlaps
from training.detector.evaluate import DetectionEvaluation

MATCHING_IOU = 0.5
TOUCHING_IOU = 0.1  # boxes with a smaller IoU are unrelated


@dataclass(frozen=True)
class Mistake:
    """A false alarm, which is a detection above the threshold that matches no sign, or a missed sign."""

    scene: int
    detection: int | None  # index; of a missed sign, of the closest one of any score and label, None if none touches it
    sign: int | None  # index; of a false alarm, of the one of any label with most overlap, None if there is none
    overlap: float  # IoU of the two; 0 if one of them is None
    # The two have different labels ("label"), the box does not fit ("place"), or it touches nothing ("nothing"). A
    # false alarm: another detection has found the sign ("duplicate"). A missed sign: the fitting detection has too low
    # a score ("score") or has matched another sign ("taken").
    kind: Literal["label", "duplicate", "score", "taken", "place", "nothing"]


def find_false_alarms(
    evaluation: DetectionEvaluation, truth: Sequence[Detections], found: Sequence[Detections]
) -> list[Mistake]:
    """Returns the false alarms by descending score."""
    alarms: list[Mistake] = []
    for scene, (signs, detections, matches) in enumerate(zip(truth, found, evaluation.matches, strict=True)):
        shared = overlaps(detections.boxes, signs.boxes)
        for detection in np.flatnonzero((detections.scores >= evaluation.chosen.threshold) & (matches < 0)).tolist():
            sign = _most_overlapping(shared[detection])
            alarms.append(_mistake(scene, detection, sign, shared.T, signs, detections, "duplicate"))
    return sorted(alarms, key=lambda alarm: -float(found[alarm.scene].scores[alarm.detection]))


def find_misses(
    evaluation: DetectionEvaluation, truth: Sequence[Detections], found: Sequence[Detections]
) -> list[Mistake]:
    """Returns the missed signs by descending size."""
    misses: list[Mistake] = []
    for scene, (signs, detections, matches) in enumerate(zip(truth, found, evaluation.matches, strict=True)):
        shared = overlaps(signs.boxes, detections.boxes)
        counts = detections.scores >= evaluation.chosen.threshold
        for sign in np.setdiff1d(np.arange(len(signs.boxes)), matches[(matches >= 0) & counts]).tolist():
            fits = np.flatnonzero(shared[sign] >= MATCHING_IOU)
            # Show the fitting detection with the highest score, or else the closest one.
            nearest = int(fits[detections.scores[fits].argmax()]) if len(fits) else _most_overlapping(shared[sign])
            fitting: Literal["taken", "score"] = "taken" if nearest is not None and counts[nearest] else "score"
            misses.append(_mistake(scene, nearest, sign, shared, signs, detections, fitting))
    return sorted(misses, key=lambda miss: -float(long_sides(truth[miss.scene].boxes)[miss.sign]))


def _most_overlapping(shared: npt.NDArray[np.float64]) -> int | None:
    """Returns the index of the largest overlap; None if it is below TOUCHING_IOU."""
    if not len(shared) or shared.max() < TOUCHING_IOU:
        return None
    return int(shared.argmax())


def _mistake(
    scene: int,
    detection: int | None,
    sign: int | None,
    shared: npt.NDArray[np.float64],
    signs: Detections,
    detections: Detections,
    fitting: Literal["duplicate", "score", "taken"],
) -> Mistake:
    """Returns the mistake of a detection and a sign; `shared` [signs, detections] are the overlaps."""
    if detection is None or sign is None:
        return Mistake(scene, detection, sign, 0.0, "nothing")
    overlap = float(shared[sign, detection])
    if overlap < MATCHING_IOU:
        return Mistake(scene, detection, sign, overlap, "place")
    same = signs.labels[sign] == detections.labels[detection]
    return Mistake(scene, detection, sign, overlap, fitting if same else "label")
