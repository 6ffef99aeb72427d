"""Boxes of one scene, detected or labelled, and their overlaps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Detections:
    """The detections or the labelled signs of one scene."""

    boxes: npt.NDArray[np.float32]  # float32 [n, 4]: left, top, right, bottom in pixels, the last two exclusive
    scores: npt.NDArray[np.float32]  # float32 [n], 0 to 1; ones for labels
    labels: npt.NDArray[np.int64]  # int64 [n], category ids, class ids or 0s: indices into the evaluation's label names


def long_sides(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns the longer side of each box [n, 4] in pixels, float64 [n]."""
    corners = boxes.astype(np.float64)
    sides: npt.NDArray[np.float64] = (corners[:, 2:] - corners[:, :2]).max(axis=1)
    return sides


def overlaps(boxes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns the intersection over union of each box [n, 4] with each other box [m, 4], float64 [n, m]."""
    first, second = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = sides.clip(min=0).prod(axis=-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (first, second)]
    quotients: npt.NDArray[np.float64] = shared / (areas[0] + areas[1] - shared)
    return quotients


def check_scenes(kind: str, scenes: Sequence[Detections], label_count: int) -> None:
    """Checks shapes, types and values of boxes, scores and labels.

    Valid labels are 0 to label_count - 1. `kind` is the name for messages, such as "detections". Raises ValueError if a
    scene is invalid; the message names its index.
    """
    for position, scene in enumerate(scenes):
        problem = _problem(scene, label_count)
        if problem:
            raise ValueError(f"{kind} of scene {position} (counted from 0): {problem}")


def _problem(scene: Detections, label_count: int) -> str | None:
    boxes, scores, labels = scene.boxes, scene.scores, scene.labels
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        return f"boxes have the shape {list(boxes.shape)}, expected [n, 4]"
    if scores.shape != (len(boxes),) or labels.shape != (len(boxes),):
        return f"{len(boxes)} boxes have scores {list(scores.shape)} and labels {list(labels.shape)}, expected [n] each"
    if not np.isfinite(boxes).all():
        return "a box has a coordinate that is not a finite number"
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        return "a box has no area: boxes are left, top, right, bottom, with right > left and bottom > top"
    if not ((scores >= 0) & (scores <= 1)).all():
        return "a score is not within 0 and 1"
    if not np.issubdtype(labels.dtype, np.integer):
        return f"labels are {labels.dtype}, expected integers"
    if ((labels < 0) | (labels >= label_count)).any():
        return f"a label is not one of the {label_count} that have a name: they count from 0"
    return None
