"""COCO's matching and average precision of boxes, computed by `faster_coco_eval`.

Of the two libraries that know COCO's rules, pycocotools prints to the terminal and takes many times as long; both
give the same matches and the same figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from training.detector.detections import Detections, long_sides

IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # of COCO; 0.6 is GTSDB's


@dataclass(frozen=True)
class SizeBand:
    """A range of sizes of signs: the long side of the box in pixels, from `lower` to less than `upper`."""

    name: str
    lower: float
    upper: float


ALL_SIZES = SizeBand("all", 0, float("inf"))


class Matcher:
    """Matches detections with the labelled signs of the same scenes.

    One label at a time and the surest detection first, each takes the free sign that it overlaps most, if the overlap
    reaches a threshold. All detections take part, however many there are: COCO's own limit of 100 of a label in a
    scene is not applied, for GTSDB has none.

    Args:
        truth: the labelled signs of each scene.
        found: the detections in it.
        label_count: labels are 0 to one less.
    """

    def __init__(self, truth: Sequence[Detections], found: Sequence[Detections], label_count: int) -> None:
        self._first_sign, self._first_detection = _first_positions(truth), _first_positions(found)
        self._evaluator = COCOeval_faster(_as_coco(truth, label_count), _as_coco(found, label_count), iouType="bbox")
        self._evaluator.params.maxDets = [max(1, *(len(scene.boxes) for scene in found))]

    def average_precision(self, bands: Sequence[SizeBand]) -> npt.NDArray[np.float64]:
        """Returns COCO's average precision: the mean of the envelope at the 101 values 0, 0.01 to 1 of recall.

        Detections of another size that match no sign of a band are left out of it.

        Args:
            bands: sizes to look at.

        Returns:
            float64 [IOUS, labels, bands]; NaN for a label without signs in the band.
        """
        precision = self._run(IOUS, bands)["precision"][..., 0]  # [IOUS, recalls, labels, bands]
        averages: npt.NDArray[np.float64] = np.where(precision < 0, np.nan, precision).mean(axis=1)  # -1: no signs
        return averages

    def matches(self, iou: float) -> tuple[npt.NDArray[np.int64], ...]:
        """Returns of each scene int64 [detections]: which sign of the scene each one has found, or -1."""
        matches = np.full(self._first_detection[-1], -1, dtype=np.int64)
        # With a single threshold and all sizes this is one matching; its keys are two ids, "detection_sign".
        for pair in self._run((iou,), (ALL_SIZES,))["matched"]:
            detection, sign = (int(number) - 1 for number in pair.split("_"))
            scene = np.searchsorted(self._first_sign, sign, side="right") - 1
            matches[detection] = sign - self._first_sign[scene]
        return tuple(np.split(matches, self._first_detection[1:-1]))

    def _run(self, ious: Sequence[float], bands: Sequence[SizeBand]) -> dict[str, Any]:
        parameters = self._evaluator.params
        parameters.iouThrs = np.array(ious)
        parameters.areaRngLbl = [band.name for band in bands]
        # The library counts both ends as inside.
        parameters.areaRng = [[band.lower**2, float(np.nextafter(band.upper**2, 0))] for band in bands]
        self._evaluator.evaluate()
        self._evaluator.accumulate()
        result: dict[str, Any] = self._evaluator.eval
        return result


def _as_coco(scenes: Sequence[Detections], label_count: int) -> COCO:
    """Returns boxes as the library takes them, with ids that count from 1 through all scenes.

    What COCO calls the area is here the square of the long side: the library tells sizes apart by it and by nothing
    else.
    """
    annotations: list[dict[str, Any]] = []
    for position, scene in enumerate(scenes):
        areas = long_sides(scene.boxes) ** 2
        columns = (scene.boxes.astype(np.float64), areas, scene.scores, scene.labels)
        for box, area, score, label in zip(*(column.tolist() for column in columns), strict=True):
            left, top, right, bottom = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": position,
                    "category_id": label,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": area,
                    "score": score,
                }
            )
    images = [{"id": position} for position in range(len(scenes))]
    categories = [{"id": label, "name": str(label)} for label in range(label_count)]
    return COCO({"images": images, "annotations": annotations, "categories": categories})


def _first_positions(scenes: Sequence[Detections]) -> npt.NDArray[np.int64]:
    """Returns how many boxes come before those of each scene, and at the end how many there are."""
    return np.cumsum([0, *(len(scene.boxes) for scene in scenes)], dtype=np.int64)
