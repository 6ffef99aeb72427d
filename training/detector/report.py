"""Writes the evaluation of a detector to files: figures as JSON, and plots."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.detector.detections import Detections, long_sides
from training.detector.evaluate import DetectionEvaluation
from training.detector.mistakes import Mistake, find_false_alarms, find_misses
from training.detector.plots import Tile, draw_mistakes, draw_precision_recall, draw_sizes
from training.report import write_report

SHOWN_MISTAKES = 18  # of each kind
TILE = 256  # pixels of a side
SMALLEST_VIEW = 72  # pixels of the scene: the surroundings of a small sign often explain a miss
WIDEST_BOX = 0.4  # share of the view that the boxes take at most

ALARMS = {
    "nothing": "no sign here",
    "label": "is {sign}",
    "duplicate": "second box on this sign (IoU {iou:.2f})",
    "place": "does not fit {sign} (IoU {iou:.2f})",
}
MISSES = {
    "nothing": "no box here",
    "label": "taken for {answer}",
    "score": "score too low: {answer}",
    "taken": "counts for another sign: {answer}",
    "place": "does not fit: {answer} (IoU {iou:.2f})",
}


def write_detection_evaluation(
    folder: Path,
    evaluation: DetectionEvaluation,
    truth: Sequence[Detections],
    found: Sequence[Detections],
    read_scene: Callable[[int], Image.Image],
    names: Sequence[str],
    figures: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Writes evaluation.json, precision_recall.png, sizes.png and mistakes.png; returns their paths.

    `read_scene` returns the image of a scene by its index; it is called only for scenes that are shown. `figures` are
    written, too. Raises ValueError if the number of scenes is not that of the evaluation.
    """
    if not len(truth) == len(found) == len(names) == evaluation.scenes:
        raise ValueError(
            f"the evaluation is of {evaluation.scenes} scenes, but there are labels of {len(truth)}, detections of "
            f"{len(found)} and names of {len(names)}"
        )
    alarms, misses = find_false_alarms(evaluation, truth, found), find_misses(evaluation, truth, found)
    labels = [label.name for label in evaluation.labels]

    def as_dict(mistake: Mistake, nearest: str) -> dict[str, Any]:
        return {"scene": names[mistake.scene], **_as_dict(mistake, truth[mistake.scene], found[mistake.scene], nearest)}

    written = {
        **evaluation.as_dict(),
        **(figures or {}),
        "false_alarms_by_kind": dict(sorted(Counter(alarm.kind for alarm in alarms).items())),
        "misses_by_kind": dict(sorted(Counter(miss.kind for miss in misses).items())),
        "mistakes": {
            "false_alarms": [as_dict(alarm, "nearest_sign") for alarm in alarms],
            "misses": [as_dict(miss, "nearest_detection") for miss in misses],
        },
    }

    # Mistakes of one scene are often neighbours; only a few scenes are in memory.
    read = lru_cache(4)(read_scene)

    def draw_tiles(shown: Sequence[Mistake], reasons: dict[str, str]) -> list[Tile]:
        return [
            _tile(each, reasons, truth[each.scene], found[each.scene], read(each.scene), names[each.scene], labels)
            for each in shown
        ]

    def draw_shown(path: Path) -> None:
        shown_alarms, shown_misses = alarms[:SHOWN_MISTAKES], misses[:SHOWN_MISTAKES]
        alarm_heading = _heading("false alarm", len(alarms), len(shown_alarms), "the surest first (red)")
        miss_heading = _heading("missed sign", len(misses), len(shown_misses), "the largest first (blue)")
        sections = [
            (alarm_heading, draw_tiles(shown_alarms, ALARMS)),
            (miss_heading, draw_tiles(shown_misses, MISSES)),
        ]
        draw_mistakes(sections, path)

    pictures: dict[str, Callable[[Path], None]] = {
        "precision_recall.png": partial(draw_precision_recall, evaluation),
        "sizes.png": partial(draw_sizes, evaluation),
        "mistakes.png": draw_shown,
    }
    return write_report(folder / "evaluation.json", written, pictures)


def _as_dict(mistake: Mistake, signs: Detections, detections: Detections, nearest: str) -> dict[str, Any]:
    """Returns a mistake in JSON types; `nearest` is the key of the other box, of a sign or a detection."""
    sign = detection = None
    if mistake.sign is not None:
        sign = _box_as_dict(signs, mistake.sign)
    if mistake.detection is not None:
        score = round(float(detections.scores[mistake.detection]), 6)
        detection = _box_as_dict(detections, mistake.detection) | {"score": score}
    own, other = (detection, sign) if nearest == "nearest_sign" else (sign, detection)
    return {"kind": mistake.kind, **(own or {}), nearest: other and {**other, "iou": mistake.overlap}}


def _tile(
    mistake: Mistake,
    reasons: dict[str, str],
    signs: Detections,
    detections: Detections,
    image: Image.Image,
    name: str,
    labels: Sequence[str],
) -> Tile:
    """Cuts the view of a mistake from its scene; `reasons` are ALARMS or MISSES."""
    is_alarm = reasons is ALARMS
    box, sign_box = detections.boxes[:0], signs.boxes[:0]
    answer = sign = ""
    if mistake.detection is not None:
        box = detections.boxes[[mistake.detection]]
        answer = f"{labels[detections.labels[mistake.detection]]} {detections.scores[mistake.detection]:.2f}"
    if mistake.sign is not None:
        sign_box, sign = signs.boxes[[mistake.sign]], labels[signs.labels[mistake.sign]]
    reason = reasons[mistake.kind].format(sign=sign, answer=answer, iou=mistake.overlap)
    both = np.vstack([box, sign_box])
    (left, top), (right, bottom) = both[:, :2].min(axis=0), both[:, 2:].max(axis=0)
    side = round(max(SMALLEST_VIEW, max(right - left, bottom - top) / WIDEST_BOX))

    def begin(middle: float, length: int) -> int:
        """Returns the start of the view: inside the image, or centred on it if the view is larger."""
        return (length - side) // 2 if side > length else int(np.clip(round(middle - side / 2), 0, length - side))

    x, y = begin((left + right) / 2, image.width), begin((top + bottom) / 2, image.height)
    view = image.crop((x, y, x + side, y + side)).resize((TILE, TILE), Image.Resampling.BICUBIC)
    scale, offset = TILE / side, np.array([x, y, x, y])
    return Tile(
        image=np.asarray(view.convert("RGB"), dtype=np.uint8),
        found=(box - offset) * scale,
        labelled=((signs.boxes if is_alarm else sign_box) - offset) * scale,
        title=answer if is_alarm else sign,
        caption=f"{reason}\n{name}, {long_sides(box if is_alarm else sign_box)[0]:.0f} pixels",
    )


def _heading(what: str, count: int, shown: int, order: str) -> str:
    if count == 0:
        return f"no {what}"
    plural = "" if count == 1 else "s"
    return f"{count:,} {what}{plural}, {order}" + (f": the first {shown}" if shown < count else "")


def _box_as_dict(scene: Detections, position: int) -> dict[str, Any]:
    box = [round(value, 2) for value in scene.boxes[position].astype(np.float64).tolist()]
    return {"box": box, "label": int(scene.labels[position])}
