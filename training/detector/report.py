"""Writes the evaluation of a detector to files: figures as JSON, and plots."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.atomic_write import atomic_write
from training.detector.detections import Detections, long_sides
from training.detector.evaluate import DetectionEvaluation
from training.detector.mistakes import FalseAlarm, Miss, find_false_alarms, find_misses
from training.detector.plots import Tile, draw_mistakes, draw_precision_recall, draw_sizes

SHOWN_MISTAKES = 18  # of each kind
TILE = 256  # pixels of a side
SMALLEST_VIEW = 72  # pixels of the scene: the surroundings of a small sign often explain a miss
WIDEST_BOX = 0.4  # share of the view that the boxes take at most


def write_detection_evaluation(
    folder: Path,
    evaluation: DetectionEvaluation,
    truth: Sequence[Detections],
    found: Sequence[Detections],
    read_scene: Callable[[int], Image.Image],
    names: Sequence[str],
) -> list[Path]:
    """Writes evaluation.json, precision_recall.png, sizes.png and mistakes.png.

    An old evaluation.json is removed first and the new one is written last: if it exists, the plots belong to it.

    Args:
        folder: folder for the files; created if missing.
        evaluation: evaluation of these scenes.
        truth: the labelled signs of each scene.
        found: the detections of each scene.
        read_scene: returns the image of a scene, RGB, by its index; called only for scenes that are shown.
        names: name of each scene.

    Returns:
        Paths of the files.

    Raises:
        ValueError: the number of scenes is not that of the evaluation.
    """
    if not len(truth) == len(found) == len(names) == evaluation.scenes:
        raise ValueError(
            f"the evaluation is of {evaluation.scenes} scenes, but there are labels of {len(truth)}, detections of "
            f"{len(found)} and names of {len(names)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "evaluation.json"
    facts.unlink(missing_ok=True)
    alarms, misses = find_false_alarms(evaluation, truth, found), find_misses(evaluation, truth, found)
    labels = [label.name for label in evaluation.labels]
    shown_alarms = [_show_alarm(each, truth, found, names, labels) for each in alarms[:SHOWN_MISTAKES]]
    shown_misses = [_show_miss(each, truth, found, names, labels) for each in misses[:SHOWN_MISTAKES]]
    tiles = _cut_tiles([*shown_alarms, *shown_misses], read_scene)
    sections = [
        (_heading("false alarm", len(alarms), len(shown_alarms), "the surest first (red)"), tiles[: len(shown_alarms)]),
        (
            _heading("missed sign", len(misses), len(shown_misses), "the largest first (blue)"),
            tiles[len(shown_alarms) :],
        ),
    ]
    pictures = [folder / "precision_recall.png", folder / "sizes.png", folder / "mistakes.png"]
    draw_precision_recall(evaluation, pictures[0])
    draw_sizes(evaluation, pictures[1])
    draw_mistakes(sections, pictures[2])
    figures = evaluation.as_dict() | {
        "false_alarms_by_kind": dict(sorted(Counter(alarm.kind for alarm in alarms).items())),
        "misses_by_kind": dict(sorted(Counter(miss.kind for miss in misses).items())),
        "mistakes": {
            "false_alarms": [_alarm_as_dict(alarm, truth, found, names) for alarm in alarms],
            "misses": [_miss_as_dict(miss, truth, found, names) for miss in misses],
        },
    }
    with atomic_write(facts) as staging:
        staging.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n")
    return [facts, *pictures]


@dataclass(frozen=True)
class _Shown:
    """A mistake to draw; boxes are [n, 4] in pixels of the scene, and those in `centre` must be visible."""

    scene: int
    found: npt.NDArray[np.float32]
    labelled: npt.NDArray[np.float32]
    centre: npt.NDArray[np.float32]
    title: str
    caption: str


def _show_alarm(
    alarm: FalseAlarm,
    truth: Sequence[Detections],
    found: Sequence[Detections],
    names: Sequence[str],
    labels: Sequence[str],
) -> _Shown:
    signs, detections = truth[alarm.scene], found[alarm.scene]
    box = detections.boxes[alarm.detection : alarm.detection + 1]
    reason = "no sign here"
    if alarm.sign is not None:
        sign = labels[signs.labels[alarm.sign]]
        reason = {
            "label": f"is {sign}",
            "duplicate": f"second box on this sign (IoU {alarm.overlap:.2f})",
            "place": f"does not fit {sign} (IoU {alarm.overlap:.2f})",
        }[alarm.kind]
    return _Shown(
        scene=alarm.scene,
        found=box,
        labelled=signs.boxes,
        centre=box if alarm.sign is None else np.vstack([box, signs.boxes[alarm.sign]]),
        title=f"{labels[detections.labels[alarm.detection]]} {detections.scores[alarm.detection]:.2f}",
        caption=f"{reason}\n{names[alarm.scene]}, {long_sides(box)[0]:.0f} pixels",
    )


def _show_miss(
    miss: Miss,
    truth: Sequence[Detections],
    found: Sequence[Detections],
    names: Sequence[str],
    labels: Sequence[str],
) -> _Shown:
    signs, detections = truth[miss.scene], found[miss.scene]
    box = signs.boxes[miss.sign : miss.sign + 1]
    nearest = detections.boxes[:0] if miss.detection is None else detections.boxes[[miss.detection]]
    reason = "no box here"
    if miss.detection is not None:
        answer = f"{labels[detections.labels[miss.detection]]} {detections.scores[miss.detection]:.2f}"
        reason = {
            "label": f"taken for {answer}",
            "score": f"score too low: {answer}",
            "taken": f"counts for another sign: {answer}",
            "place": f"does not fit: {answer} (IoU {miss.overlap:.2f})",
        }[miss.kind]
    return _Shown(
        scene=miss.scene,
        found=nearest,
        labelled=box,
        centre=np.vstack([box, nearest]),
        title=labels[signs.labels[miss.sign]],
        caption=f"{reason}\n{names[miss.scene]}, {long_sides(box)[0]:.0f} pixels",
    )


def _cut_tiles(shown: Sequence[_Shown], read_scene: Callable[[int], Image.Image]) -> list[Tile]:
    """Cuts the view of each mistake from its scene; every scene is read once, and one is in memory at a time."""
    tiles: dict[int, Tile] = {}
    for scene in sorted({each.scene for each in shown}):
        image = read_scene(scene)
        tiles |= {place: _cut_tile(each, image) for place, each in enumerate(shown) if each.scene == scene}
    return [tiles[place] for place in range(len(shown))]


def _cut_tile(shown: _Shown, image: Image.Image) -> Tile:
    (left, top), (right, bottom) = shown.centre[:, :2].min(axis=0), shown.centre[:, 2:].max(axis=0)
    side = round(max(SMALLEST_VIEW, max(right - left, bottom - top) / WIDEST_BOX))

    def begin(middle: float, length: int) -> int:
        """Returns the start of the view: inside the image, or centred on it if the view is larger."""
        return (length - side) // 2 if side > length else int(np.clip(round(middle - side / 2), 0, length - side))

    x, y = begin((left + right) / 2, image.width), begin((top + bottom) / 2, image.height)
    view = image.crop((x, y, x + side, y + side)).resize((TILE, TILE), Image.Resampling.BICUBIC)
    scale, offset = TILE / side, np.array([x, y, x, y])
    return Tile(
        image=np.asarray(view.convert("RGB"), dtype=np.uint8),
        found=(shown.found - offset) * scale,
        labelled=(shown.labelled - offset) * scale,
        title=shown.title,
        caption=shown.caption,
    )


def _heading(what: str, count: int, shown: int, order: str) -> str:
    if count == 0:
        return f"no {what}"
    plural = "" if count == 1 else "s"
    return f"{count:,} {what}{plural}, {order}" + (f": the first {shown}" if shown < count else "")


def _alarm_as_dict(
    alarm: FalseAlarm, truth: Sequence[Detections], found: Sequence[Detections], names: Sequence[str]
) -> dict[str, Any]:
    sign = None if alarm.sign is None else _box_as_dict(truth[alarm.scene], alarm.sign) | {"iou": alarm.overlap}
    box = _box_as_dict(found[alarm.scene], alarm.detection)
    score = round(float(found[alarm.scene].scores[alarm.detection]), 6)
    return {"scene": names[alarm.scene], "kind": alarm.kind, **box, "score": score, "nearest_sign": sign}


def _miss_as_dict(
    miss: Miss, truth: Sequence[Detections], found: Sequence[Detections], names: Sequence[str]
) -> dict[str, Any]:
    nearest = None
    if miss.detection is not None:
        score = round(float(found[miss.scene].scores[miss.detection]), 6)
        nearest = _box_as_dict(found[miss.scene], miss.detection) | {"score": score, "iou": miss.overlap}
    box = _box_as_dict(truth[miss.scene], miss.sign)
    return {"scene": names[miss.scene], "kind": miss.kind, **box, "nearest_detection": nearest}


def _box_as_dict(scene: Detections, position: int) -> dict[str, Any]:
    box = [round(value, 2) for value in scene.boxes[position].astype(np.float64).tolist()]
    return {"box": box, "label": int(scene.labels[position])}
