"""Evaluation of detections in scenes, whichever runtime has computed them.

Detections are matched with the labelled signs by COCO's rule (`training.detector.matching`) at an IoU threshold
(intersection over union; the paper of GTSDB calls it Jaccard). A sign without a detection is a miss. A detection
without a sign is a false alarm, and so is a second detection of the same sign.

`ap` is COCO's average precision, which samples the precision-recall curve. `auc` is the measure of GTSDB, the area
under that curve (Houben et al., IJCNN 2013) at IoU 0.6, integrated exactly (`Curve.area`). At the same IoU the two
differ by at most 0.01, the step of the samples, unless scores are equal: `auc` counts such detections together, `ap`
in the order of the scenes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from traffic_signs.classes import BENCHMARK_CATEGORIES
from training.detector.curves import Curve, OperatingPoint, trace_curve
from training.detector.detections import Detections, check_scenes, long_sides
from training.detector.matching import ALL_SIZES, IOUS, Matcher, SizeBand

# Signs of GTSDB have long sides of 16 to 128 pixels, half of them below 38.
SIZE_BANDS = (SizeBand("small", 0, 32), SizeBand("medium", 32, 64), SizeBand("large", 64, float("inf")))

FEW_LABELS = 8  # with more labels, metrics() omits the figures of each; as_dict() has them

_IOU_50, _IOU_60 = IOUS.index(0.5), IOUS.index(0.6)


@dataclass(frozen=True)
class LabelFigures:
    """The figures of one label."""

    name: str
    signs: int  # number of labelled signs; without any, all averages are NaN
    ap50: float  # COCO's average precision at IoU 0.5
    ap60: float  # COCO's average precision at IoU 0.6
    ap50_95: float  # mean of the average precisions at IoU 0.5, 0.55 to 0.95
    curve50: Curve  # precision-recall curve at IoU 0.5
    curve60: Curve  # precision-recall curve at IoU 0.6; its area is the measure of GTSDB
    chosen: OperatingPoint  # figures at the threshold of the whole evaluation, at IoU 0.5

    def averages(self) -> dict[str, float]:
        """Returns the figures that do not depend on a threshold, by name."""
        return {
            "ap50": self.ap50,
            "ap60": self.ap60,
            "ap50_95": self.ap50_95,
            "auc50": self.curve50.area,
            "auc60": self.curve60.area,
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns all figures in JSON types; None for figures without signs."""
        return {
            "name": self.name,
            "signs": self.signs,
            **_json_numbers(self.averages()),
            "chosen": _json_numbers(self.chosen.metrics()),
            "best_f1": _json_numbers(self.curve50.best().metrics()),
        }


@dataclass(frozen=True)
class SizeFigures:
    """The figures of signs of one size."""

    band: SizeBand
    signs: npt.NDArray[np.int64]  # int64 [labels], number of signs of each label
    ap50: npt.NDArray[np.float64]  # float64 [labels], average precision at IoU 0.5; NaN for a label without such signs
    ap60: npt.NDArray[np.float64]  # float64 [labels], average precision at IoU 0.6; NaN for a label without such signs
    hits: int  # number of signs found at the threshold of the whole evaluation, at IoU 0.5

    def metrics(self) -> dict[str, float]:
        """Returns means over the labels that have signs of this size, and the recall over all labels."""
        signs = int(self.signs.sum())
        return {
            f"map50_{self.band.name}": _mean(self.ap50),
            f"map60_{self.band.name}": _mean(self.ap60),
            f"recall_{self.band.name}": self.hits / signs if signs else float("nan"),
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures of each label in JSON types; None for figures without signs."""
        return {
            "name": self.band.name,
            "lower": self.band.lower,
            "upper": None if np.isinf(self.band.upper) else self.band.upper,
            "signs": self.signs.tolist(),
            "hits": self.hits,
            "ap50": [_json_number(value) for value in self.ap50.tolist()],
            "ap60": [_json_number(value) for value in self.ap60.tolist()],
        }


@dataclass(frozen=True)
class DetectionEvaluation:
    """The result of comparing detections with labelled signs."""

    scenes: int
    labels: tuple[LabelFigures, ...]  # by id
    sizes: tuple[SizeFigures, ...]  # of each of SIZE_BANDS
    curve50: Curve  # of all labels together, at IoU 0.5
    chosen: OperatingPoint  # of all labels together at the chosen threshold, at IoU 0.5
    # For each scene int64 [detections], the index of the sign that each has found at IoU 0.5, or -1.
    matches: tuple[npt.NDArray[np.int64], ...]

    def metrics(self) -> dict[str, float]:
        """Returns the scalar figures by name; figures without signs are omitted.

        `map50`, `map60`, `map50_95` and `auc60` are means over the labels that have signs. The suffix `_benchmark`
        means the three categories that GTSDB scores; the name of a size means signs of this size. `threshold`,
        `precision`, `recall`, `f1`, `hits`, `misses` and `false_alarms` are of all labels together at the chosen
        threshold. With at most FEW_LABELS labels, each label has its own figures with its name as suffix.
        """
        figures = self._summary()
        if 1 < len(self.labels) <= FEW_LABELS:
            for label in self.labels:
                of_label = label.averages() | {"precision": label.chosen.precision, "recall": label.chosen.recall}
                ending = re.sub(r"\W+", "_", label.name)
                figures |= {f"{name}_{ending}": value for name, value in of_label.items()}
        return {name: float(value) for name, value in figures.items() if not np.isnan(value)}

    def as_dict(self) -> dict[str, Any]:
        """Returns all figures in JSON types; None for figures without signs."""
        return {
            "scenes": self.scenes,
            "signs": self.curve50.signs,
            **_json_numbers(self._summary()),
            "best_f1": _json_numbers(self.curve50.best().metrics()),
            "labels": [label.as_dict() for label in self.labels],
            "sizes": [size.as_dict() for size in self.sizes],
        }

    def _summary(self) -> dict[str, float]:
        """Returns the figures over all labels, including NaN."""
        figures = _means(self.labels, "")
        scored = [label for label in self.labels if label.name in BENCHMARK_CATEGORIES]
        if len(scored) == len(BENCHMARK_CATEGORIES):
            figures |= _means(scored, "_benchmark")
        for size in self.sizes:
            figures |= size.metrics()
        return figures | self.chosen.metrics()


def evaluate_detections(
    truth: Sequence[Detections],
    found: Sequence[Detections],
    label_names: Sequence[str],
    score_threshold: float | None = None,
) -> DetectionEvaluation:
    """Compares detections with labelled signs.

    Args:
        truth: the labelled signs of each scene; their scores are ignored.
        found: the detections in the same scenes, in the same order.
        label_names: what the labels mean: categories, or classes (a box then counts only with the right class),
            or one name for all signs.
        score_threshold: threshold of `chosen`, of the recall by size and of the pictures; choose it on other scenes.
            None takes the one with the best F1 on these scenes, which is optimistic.

    Raises:
        ValueError: the numbers of scenes differ, or boxes, scores or labels are invalid; the message names the index
            of the scene.
    """
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} scenes have labels and {len(found)} have detections: give the same scenes")
    if not truth or not label_names:
        raise ValueError("there is nothing to evaluate: give at least one scene and the name of one label")
    if score_threshold is not None and not 0 <= score_threshold <= 1:
        raise ValueError(f"the score threshold is {score_threshold}, expected 0 to 1")
    check_scenes("labelled signs", truth, len(label_names))
    check_scenes("detections", found, len(label_names))

    matcher = Matcher(truth, found, len(label_names))
    averages = matcher.average_precision((ALL_SIZES, *SIZE_BANDS))
    matches50, matches60 = matcher.matches(0.5), matcher.matches(0.6)
    right50, right60 = np.concatenate(matches50) >= 0, np.concatenate(matches60) >= 0
    scores = np.concatenate([scene.scores for scene in found])
    labels = np.concatenate([scene.labels for scene in found])
    signs = count_signs(truth, ALL_SIZES, len(label_names))
    curve50 = trace_curve(scores, right50, int(signs.sum()))
    chosen = curve50.best() if score_threshold is None else curve50.at(score_threshold)

    def figures_of(label: int) -> LabelFigures:
        mine, total = labels == label, int(signs[label])
        curve = trace_curve(scores[mine], right50[mine], total)
        average = averages[:, label, 0]
        return LabelFigures(
            name=label_names[label],
            signs=total,
            ap50=float(average[_IOU_50]),
            ap60=float(average[_IOU_60]),
            ap50_95=float(average.mean()),
            curve50=curve,
            curve60=trace_curve(scores[mine], right60[mine], total),
            chosen=curve.at(chosen.threshold),
        )

    sizes = [
        SizeFigures(
            band=band,
            signs=count_signs(truth, band, len(label_names)),
            ap50=averages[_IOU_50, :, position],
            ap60=averages[_IOU_60, :, position],
            hits=_count_hits(truth, found, matches50, band, chosen.threshold),
        )
        for position, band in enumerate(SIZE_BANDS, start=1)
    ]
    by_label = tuple(figures_of(label) for label in range(len(label_names)))
    return DetectionEvaluation(len(truth), by_label, tuple(sizes), curve50, chosen, matches50)


def count_signs(scenes: Sequence[Detections], band: SizeBand, label_count: int) -> npt.NDArray[np.int64]:
    """Returns the number of boxes of a size by label, int64 [labels]."""
    labels = np.concatenate([scene.labels[_in_band(scene.boxes, band)] for scene in scenes])
    return np.bincount(labels, minlength=label_count)


def _count_hits(
    truth: Sequence[Detections],
    found: Sequence[Detections],
    matches: Sequence[npt.NDArray[np.int64]],
    band: SizeBand,
    threshold: float,
) -> int:
    return sum(
        int(_in_band(signs.boxes[match[(match >= 0) & (detections.scores >= threshold)]], band).sum())
        for signs, detections, match in zip(truth, found, matches, strict=True)
    )


def _in_band(boxes: npt.NDArray[np.float32], band: SizeBand) -> npt.NDArray[np.bool_]:
    sides = long_sides(boxes)
    inside: npt.NDArray[np.bool_] = (sides >= band.lower) & (sides < band.upper)
    return inside


def _means(labels: Sequence[LabelFigures], ending: str) -> dict[str, float]:
    return {
        f"map50{ending}": _mean(label.ap50 for label in labels),
        f"map60{ending}": _mean(label.ap60 for label in labels),
        f"map50_95{ending}": _mean(label.ap50_95 for label in labels),
        f"auc60{ending}": _mean(label.curve60.area for label in labels),
    }


def _mean(values: Iterable[float]) -> float:
    """Returns the mean of the values that are not NaN; NaN if all are."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


def _json_numbers(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _json_number(value) for name, value in figures.items()}


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else value
