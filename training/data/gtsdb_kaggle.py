"""Reads the labels of the Kaggle copy of GTSDB, repairs what it can and reports the rest.

The copy (icebearogo/german-traffic-sign-detection-gtsdb-dataset) has the layout
`GTSDB_Train_and_Test/{Train,Test}/{images/*.jpg,labels/*.txt}`. A label file has one line per box,
`class cx cy w h`, as in YOLO. Its labels differ from those of the benchmark:

- the training split has only the last box of each scene, 506 of 852;
- the class ids of the test split are positions in the list of ids sorted as text: 0, 1, 10, 11, ..., 2, 20, ...;
- one test label has the class id 100.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import PurePosixPath

from traffic_signs.classes import NUM_CLASSES
from training.data.images import upright_size
from training.data.records import Box, Split
from training.data.source import Source
from training.data.yolo import Label, parse_labels
from training.errors import DataError

STRAY_CLASS_ID = 100
IDS_SORTED_AS_TEXT: tuple[int, ...] = tuple(sorted(range(NUM_CLASSES), key=str))
CLASSES_NOT_IN_TEST = frozenset({0, 19, 20, 21, 27})  # the official test split has no box of these


def find_label_files(source: Source, folder: PurePosixPath) -> dict[str, str]:
    """Returns the label files of one split by scene number."""
    files = [PurePosixPath(name) for name in source.names()]
    return {
        file.stem: file.as_posix()
        for file in files
        if file.parent == folder and file.suffix == ".txt" and re.fullmatch("[0-9]{5}", file.stem)
    }


def read_kaggle_labels(
    source: Source, folder: PurePosixPath, split: Split, images: Mapping[str, str]
) -> tuple[dict[str, tuple[Box, ...]], tuple[str, ...]]:
    """Reads and repairs the labels of one split.

    `images` are the images of that split by the number in their name, as in `check_numbering`. Raises DataError if a
    label is invalid, or a labelled image is broken; the message names the file and line.

    Returns:
        The boxes of each scene by the number in its file name, for scenes with an image and boxes, and notices about
        the labels, a sentence each. Sides may be off by one pixel, because the copy's convention is unknown.
    """
    found = _parse_all(source, folder)
    labels = [(scene, label) for scene, label in found if label.class_id != STRAY_CLASS_ID]
    notices = []
    if split == "train":
        notices += _lost_boxes(folder, labels)
    elif labels:
        labels, notice = _restore_ids(folder, labels)
        notices.append(notice)
    if len(labels) < len(found):
        strays = [scene for scene, label in found if label.class_id == STRAY_CLASS_ID]
        notices.append(
            f"{folder} has {len(strays)} of {len(found)} labels with class {STRAY_CLASS_ID}, which is not a class: "
            f"left out, so that scene {strays[0]} misses a box"
        )
    absent = sorted({scene for scene, _ in found} - set(images))
    if absent:
        notices.append(f"{folder} labels {len(absent)} scenes whose images are not here, such as {absent[0]}")
    return _to_pixels(source, labels, images), tuple(notices)


def check_numbering(
    source: Source, folder: PurePosixPath, images: Mapping[str, str], official: Mapping[str, Sequence[Box]]
) -> str | None:
    """Returns a warning if the copy's boxes do not match the official boxes of the same scene numbers.

    The copy has wrong classes but right boxes. If these do not match, the copy numbers its scenes in another way, and
    the official labels would go to the wrong images.
    """
    try:
        boxes = _to_pixels(source, _parse_all(source, folder), images)
    except DataError:
        return None  # these labels are not used
    hits = [any(_holds(theirs, box) for theirs in official.get(scene, ())) for scene in boxes for box in boxes[scene]]
    if 2 * sum(hits) >= len(hits):
        return None
    return (
        f"only {sum(hits)} of {len(hits)} boxes in {folder} match a box in gt.txt: this copy seems to number its "
        "scenes otherwise than the benchmark; check its images before you trust a figure"
    )


def _holds(box: Box, other: Box) -> bool:
    """Returns whether the centre of `other` lies in `box`."""
    x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
    return box.left <= x <= box.right and box.top <= y <= box.bottom


def _parse_all(source: Source, folder: PurePosixPath) -> list[tuple[str, Label]]:
    """Returns the scene number and content of every label."""
    return [
        (scene, label)
        for scene, file in sorted(find_label_files(source, folder).items())
        for label in parse_labels(source, file, (STRAY_CLASS_ID, *range(NUM_CLASSES)))
    ]


def _lost_boxes(folder: PurePosixPath, labels: Sequence[tuple[str, Label]]) -> list[str]:
    """Returns a notice if no scene has a second box, unlike 247 scenes of the benchmark's training split."""
    scenes = Counter(scene for scene, _ in labels)
    if len(scenes) < 2 or max(scenes.values()) > 1:
        return []
    missing = sorted(set(range(NUM_CLASSES)) - {label.class_id for _, label in labels})
    # Named only if there are few: a small part of the copy lacks most classes anyway.
    named = f" ({', '.join(map(str, missing))})" if 0 < len(missing) <= 5 else ""
    return [
        f"{folder} has one box for each of its {len(scenes)} labelled scenes, where the benchmark has 852 in 506: this "
        f"copy lost all but the last box of a scene, and {len(missing)} of {NUM_CLASSES} classes have none{named}"
    ]


def _restore_ids(folder: PurePosixPath, labels: Sequence[tuple[str, Label]]) -> tuple[list[tuple[str, Label]], str]:
    """Returns the labels with the benchmark's class ids, and a notice about the conversion.

    A class that the official test split does not have shows which kind of ids these are. Without one they are read as
    positions, as in the known copy.
    """
    ids = {label.class_id for _, label in labels}
    odd_as_ids = sorted(ids & CLASSES_NOT_IN_TEST)
    odd_as_positions = {IDS_SORTED_AS_TEXT[position] for position in ids} & CLASSES_NOT_IN_TEST
    if odd_as_positions and not odd_as_ids:
        notice = f"{folder} seems to have the benchmark's own class ids: its {len(labels)} labels are taken as they are"
        return list(labels), notice
    restored = [(scene, label._replace(class_id=IDS_SORTED_AS_TEXT[label.class_id])) for scene, label in labels]
    if odd_as_ids and not odd_as_positions:
        reason = f"class {odd_as_ids[0]} occurs, which the official test split lacks"
    else:
        reason = "as in the known copy; these labels do not show it"
    return restored, (
        f"{folder} has positions in the list of ids sorted as text in place of class ids ({reason}): "
        f"{len(labels)} labels were translated back"
    )


def _to_pixels(
    source: Source, labels: Sequence[tuple[str, Label]], images: Mapping[str, str]
) -> dict[str, tuple[Box, ...]]:
    boxes: dict[str, tuple[Box, ...]] = {}
    for scene, of_scene in groupby(sorted(labels, key=itemgetter(0)), key=itemgetter(0)):
        if scene in images:
            size = upright_size(source, images[scene])
            boxes[scene] = tuple(label.to_box(*size) for _, label in of_scene)
    return boxes
