"""From scenes to signs: detect, crop, classify. Independent of Triton."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .preprocessing import crop
from .scene import Scene

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
Detect = Callable[[Pixels], tuple[Floats, Floats, Ids]]
Classify = Callable[[Pixels], Floats]

UNKNOWN_ID, UNKNOWN = -1, "unknown"  # the answer for a sign with a low class score
SMALLEST_SIDE = 1.0  # pixels of the photograph; a smaller box cannot be cropped


@dataclass(frozen=True)
class Signs:
    """The signs of one scene, by descending detection score."""

    boxes: Floats  # float32 [n, 4], left, top, right, bottom in pixels of the photograph
    sizes: Floats  # float32 [n], square root of each box's area in pixels of the detector's input
    detection_scores: Floats  # float32 [n]
    categories: Ids  # int32 [n], category ids of the detector
    class_ids: Ids  # int32 [n], the most probable class of each, also if its probability is low
    class_scores: Floats  # float32 [n], the probability of that class

    def known(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Returns bool [n]: which signs have a class score of at least `threshold`."""
        return self.class_scores >= threshold


def recognize(
    scenes: Sequence[Scene],
    thresholds: Sequence[float],
    detect: Detect,
    classify: Classify,
    crop_size: int,
    pool: Executor,
) -> list[Signs]:
    """Finds and classifies the signs of scenes, with one call of each model for all of them.

    Args:
        scenes: any number of scenes; without any, no model is called.
        thresholds: for each scene, the lowest detection score that counts.
        detect: maps uint8 [n, height, width, 3] to boxes [n, k, 4] in pixels of the input, scores [n, k]
            descending and categories [n, k].
        classify: maps uint8 [n, crop_size, crop_size, 3] to probabilities [n, classes].
        crop_size: side of the classifier's input in pixels.
        pool: threads that cut the crops; Pillow releases the GIL.

    Returns:
        The signs of each scene.
    """
    if not scenes:
        return []
    boxes, scores, categories = detect(np.stack([scene.fitted.pixels for scene in scenes]))
    found = [
        _clip(scene, *answer) for scene, *answer in zip(scenes, thresholds, boxes, scores, categories, strict=True)
    ]
    cut = pool.map(lambda scene, each: _crops(scene, each[0], crop_size), scenes, found)
    crops = np.concatenate(list(cut))
    class_ids, class_scores = np.empty(0, np.int32), np.empty(0, np.float32)
    if len(crops):
        probabilities = classify(crops)
        class_ids = probabilities.argmax(axis=1).astype(np.int32)
        class_scores = probabilities.max(axis=1)
    ends = np.cumsum([len(each[0]) for each in found])[:-1]
    parts = zip(found, np.split(class_ids, ends), np.split(class_scores, ends), strict=True)
    return [Signs(*each, ids, certain) for each, ids, certain in parts]


def _clip(
    scene: Scene, threshold: float, boxes: Floats, scores: Floats, categories: Ids
) -> tuple[Floats, Floats, Floats, Ids]:
    """Returns the boxes in the photograph, sizes, scores and categories of the detections that count."""
    width, height = scene.photograph.size
    inside = (boxes / np.array(scene.fitted.scale)).clip(0, [width, height, width, height])
    sides = np.stack([inside[:, 2] - inside[:, 0], inside[:, 3] - inside[:, 1]], axis=1)
    # A comparison with NaN is false, so this keeps only valid boxes.
    kept = (scores >= threshold) & (sides >= SMALLEST_SIDE).all(axis=1)
    sizes = np.sqrt((sides[kept] * scene.fitted.scale[:2]).prod(axis=1))
    return inside[kept].astype(np.float32), sizes.astype(np.float32), scores[kept], categories[kept]


def _crops(scene: Scene, boxes: Floats, size: int) -> Pixels:
    if not len(boxes):
        return np.empty((0, size, size, 3), np.uint8)
    left_top_right_bottom = [(float(box[0]), float(box[1]), float(box[2]), float(box[3])) for box in boxes]
    return np.stack([crop(scene.photograph, box, size) for box in left_top_right_bottom])
