"""What went wrong in an evaluation of detections: each false alarm and each missed sign, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.detector.detections import Detections, long_sides, overlaps
from training.detector.evaluate import DetectionEvaluation

MATCHING_IOU = 0.5
TOUCHING_IOU = 0.1  # with less in common, two boxes are not about the same thing


@dataclass(frozen=True)
class FalseAlarm:
    """A detection that counts at the threshold and is no sign.

    Attributes:
        scene: position of the scene.
        detection: position in the detections of the scene.
        sign: position of the labelled sign that it overlaps most, of whatever label; None where it touches none.
        overlap: IoU with that sign.
        kind: it is a sign of another label ("label"), one that another detection has found ("duplicate"), one that
            the box does not fit ("place") or none at all ("nothing").
    """

    scene: int
    detection: int
    sign: int | None
    overlap: float
    kind: Literal["label", "duplicate", "place", "nothing"]


@dataclass(frozen=True)
class Miss:
    """A sign that no detection has found that counts at the threshold.

    Attributes:
        scene: position of the scene.
        sign: position in the labelled signs of the scene.
        detection: position of the detection that comes closest, of whatever score and label; None where none
            touches the sign.
        overlap: IoU with that detection.
        kind: a detection fits and has another label ("label"); its score is too low ("score"); it has gone to a
            sign close by ("taken"); none fits ("place"), or there is none at all ("nothing").
    """

    scene: int
    sign: int
    detection: int | None
    overlap: float
    kind: Literal["label", "score", "taken", "place", "nothing"]


def find_false_alarms(
    evaluation: DetectionEvaluation, truth: Sequence[Detections], found: Sequence[Detections]
) -> list[FalseAlarm]:
    """Returns the false alarms, the surest first.

    Args:
        evaluation: of these scenes.
        truth: the labelled signs of each scene.
        found: the detections in it.
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
    """Returns the missed signs, the largest first; arguments as of `find_false_alarms`."""
    threshold = evaluation.chosen.threshold
    misses = []
    for scene, (signs, detections, matches) in enumerate(zip(truth, found, evaluation.matches, strict=True)):
        shared = overlaps(signs.boxes, detections.boxes)
        hits = matches[(matches >= 0) & (detections.scores >= threshold)]
        for sign in np.setdiff1d(np.arange(len(signs.boxes)), hits).tolist():
            fits = np.flatnonzero(shared[sign] >= MATCHING_IOU)
            # Of the detections that fit, people want to see the surest; otherwise the one that comes closest.
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
    """Returns the position of the largest overlap that is worth a word."""
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
