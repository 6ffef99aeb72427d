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
class FalseAlarm:
    """A detection above the threshold that matches no sign.

    Attributes:
        scene: index of the scene.
        detection: index of the detection in the scene.
        sign: index of the labelled sign, of any label, with the largest overlap; None if there is none.
        overlap: IoU with that sign.
        kind: the sign has another label ("label"), another detection has found it ("duplicate"), the box does not fit
            it ("place"), or there is no sign ("nothing").
    """

    scene: int
    detection: int
    sign: int | None
    overlap: float
    kind: Literal["label", "duplicate", "place", "nothing"]


@dataclass(frozen=True)
class Miss:
    """A sign that no detection above the threshold has found.

    Attributes:
        scene: index of the scene.
        sign: index of the labelled sign in the scene.
        detection: index of the closest detection, of any score and label; None if none touches the sign.
        overlap: IoU with that detection.
        kind: a fitting detection has another label ("label") or too low a score ("score"), or has matched another
            sign ("taken"); no detection fits ("place"), or none touches the sign ("nothing").
    """

    scene: int
    sign: int
    detection: int | None
    overlap: float
    kind: Literal["label", "score", "taken", "place", "nothing"]


def find_false_alarms(
    evaluation: DetectionEvaluation, truth: Sequence[Detections], found: Sequence[Detections]
) -> list[FalseAlarm]:
    """Returns the false alarms by descending score.

    Args:
        evaluation: the evaluation of these scenes.
        truth: the labelled signs of each scene.
        found: the detections of each scene.
    """
    alarms = []
    for scene, (signs, detections, matches) in enumerate(zip(truth, found, evaluation.matches, strict=True)):
        shared = overlaps(detections.boxes, signs.boxes)
        for detection in np.flatnonzero((detections.scores >= evaluation.chosen.threshold) & (matches < 0)).tolist():
            sign = _most_overlapping(shared[detection])
            overlap = 0.0 if sign is None else float(shared[detection, sign])
            same = sign is not None and signs.labels[sign] == detections.labels[detection]
            alarms.append(FalseAlarm(scene, detection, sign, overlap, _kind_of_alarm(overlap, same)))
    return sorted(alarms, key=lambda each: -float(found[each.scene].scores[each.detection]))


def find_misses(
    evaluation: DetectionEvaluation, truth: Sequence[Detections], found: Sequence[Detections]
) -> list[Miss]:
    """Returns the missed signs by descending size; arguments as in `find_false_alarms`."""
    threshold = evaluation.chosen.threshold
    misses = []
    for scene, (signs, detections, matches) in enumerate(zip(truth, found, evaluation.matches, strict=True)):
        shared = overlaps(signs.boxes, detections.boxes)
        hits = matches[(matches >= 0) & (detections.scores >= threshold)]
        for sign in np.setdiff1d(np.arange(len(signs.boxes)), hits).tolist():
            fits = np.flatnonzero(shared[sign] >= MATCHING_IOU)
            # Show the fitting detection with the highest score, or else the closest one.
            nearest = int(fits[detections.scores[fits].argmax()]) if len(fits) else _most_overlapping(shared[sign])
            if nearest is None:
                misses.append(Miss(scene, sign, None, 0.0, "nothing"))
                continue
            overlap = float(shared[sign, nearest])
            same = bool(signs.labels[sign] == detections.labels[nearest])
            counts = bool(detections.scores[nearest] >= threshold)
            misses.append(Miss(scene, sign, nearest, overlap, _kind_of_miss(overlap, same, counts)))
    return sorted(misses, key=lambda each: -float(long_sides(truth[each.scene].boxes)[each.sign]))


def _most_overlapping(shared: npt.NDArray[np.float64]) -> int | None:
    """Returns the index of the largest overlap; None if it is below TOUCHING_IOU."""
    if not len(shared) or shared.max() < TOUCHING_IOU:
        return None
    return int(shared.argmax())


def _kind_of_alarm(overlap: float, same_label: bool) -> Literal["label", "duplicate", "place", "nothing"]:
    if overlap >= MATCHING_IOU:
        return "duplicate" if same_label else "label"
    return "place" if overlap else "nothing"


def _kind_of_miss(overlap: float, same_label: bool, counts: bool) -> Literal["label", "score", "taken", "place"]:
    if overlap < MATCHING_IOU:
        return "place"
    if not same_label:
        return "label"
    return "taken" if counts else "score"
