"""COCO's matching and average precision of boxes, computed by `faster_coco_eval`.

pycocotools gives the same matches and figures, but prints to the terminal and takes many times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from training.detector.detections import Detections, long_sides

IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # COCO's; GTSDB uses 0.6


@dataclass(frozen=True)
class SizeBand:
    """A range of sizes: `lower` <= long side of the box in pixels < `upper`."""

    name: str
    lower: float
    upper: float


ALL_SIZES = SizeBand("all", 0, float("inf"))


class Matcher:
    """Matches detections with the labelled signs of the same scenes.

    For each label, by descending score, each detection takes the free sign with the largest overlap, if the overlap
    reaches the threshold. COCO's limit of 100 detections per label and scene is not applied, because GTSDB has none.
    """

    def __init__(self, truth: Sequence[Detections], found: Sequence[Detections], label_count: int) -> None:
        self._first_sign, self._first_detection = _first_positions(truth), _first_positions(found)
        self._evaluator = COCOeval_faster(_as_coco(truth, label_count), _as_coco(found, label_count), iouType="bbox")
        self._evaluator.params.maxDets = [max(1, *(len(scene.boxes) for scene in found))]

    def average_precision(self, bands: Sequence[SizeBand]) -> npt.NDArray[np.float64]:
        """Returns COCO's average precision: the mean of the envelope at the recalls 0, 0.01, ..., 1.

        A detection of another size that matches no sign of the band does not count in this band. The result is float64
        [IOUS, labels, bands], NaN for a label without signs in the band.
        """
        precision = self._run(IOUS, bands)["precision"][..., 0]  # [IOUS, recalls, labels, bands]
        averages: npt.NDArray[np.float64] = np.where(precision < 0, np.nan, precision).mean(axis=1)  # -1: no signs
        return averages

    def matches(self, iou: float) -> tuple[npt.NDArray[np.int64], ...]:
        """Returns for each scene int64 [detections]: the index of the sign that each has found, or -1."""
        matches = np.full(self._first_detection[-1], -1, dtype=np.int64)
        # One threshold and all sizes give a single matching; its keys are "<detection id>_<sign id>".
        for pair in self._run((iou,), (ALL_SIZES,))["matched"]:
            detection, sign = (int(number) - 1 for number in pair.split("_"))
            scene = np.searchsorted(self._first_sign, sign, side="right") - 1
            matches[detection] = sign - self._first_sign[scene]
        return tuple(np.split(matches, self._first_detection[1:-1]))

    def _run(self, ious: Sequence[float], bands: Sequence[SizeBand]) -> dict[str, Any]:
        parameters = self._evaluator.params
        parameters.iouThrs = np.array(ious)
        parameters.areaRngLbl = [band.name for band in bands]
        # The library includes both ends.
        parameters.areaRng = [[band.lower**2, float(np.nextafter(band.upper**2, 0))] for band in bands]
        self._evaluator.evaluate()
        self._evaluator.accumulate()
        result: dict[str, Any] = self._evaluator.eval
        return result


def _as_coco(scenes: Sequence[Detections], label_count: int) -> COCO:
    """Converts boxes to the library's format, with ids from 1 over all scenes.

    COCO's "area" is set to the square of the long side: the library uses it only to distinguish sizes.
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
    """Returns the cumulated number of boxes before each scene, and the total at the end."""
    return np.cumsum([0, *(len(scene.boxes) for scene in scenes)], dtype=np.int64)
