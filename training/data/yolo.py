"""Reader of YOLO's text labels: `yolo=PATH`.

`data.yaml` names the classes (`names`, a list or a mapping of ids), or else `classes.txt`, one per line. The labels of
`images/<...>/a.jpg` are in `labels/<...>/a.txt`, one line per box: `class cx cy width height`, as shares of the image's
sides. The split follows from the folder: `images/train` or `train/images`. An image without a text file, or with an
empty one, shows no object.

The format is read here because the one library for it outside training frameworks installs a second OpenCV.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import yaml

from traffic_signs.classes import ClassSet
from traffic_signs.pictures import SUFFIXES
from training.data.classes import class_set
from training.data.images import upright_size
from training.data.records import Box, Dataset, Sample
from training.data.source import Source, open_source
from training.data.splits import settle_splits, split_named
from training.data.threads import map_in_threads
from training.errors import DataError

NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
IMAGES, LABELS = "images", "labels"


def load_yolo(path: Path) -> Dataset:
    """Reads the labels of a folder or zip, and the size of each image.

    Raises DataError if names or images are missing, or for an invalid label, whose line the message names.
    """
    source = open_source(path)
    names = source.names()
    classes = _classes(source, names)
    present = frozenset(names)
    images = [name for name in names if name.lower().endswith(SUFFIXES) and IMAGES in PurePosixPath(name).parts]
    if not images:
        raise DataError(f"{path} holds no folder {IMAGES}/ with pictures: give the folder that holds images and labels")

    def read(name: str) -> Sample:
        file = _label_file(name)
        labels = parse_labels(source, file, range(len(classes))) if file in present else []
        size = upright_size(source, name) if labels else (0, 0)
        return Sample(name, "train", tuple(label.to_box(*size) for label in labels))

    samples = list(map_in_threads(read, images))
    if not any(sample.boxes for sample in samples):
        raise DataError(f"{path} has pictures and no labels: the labels of images/a.jpg are in labels/a.txt")
    splits = [split_named(PurePosixPath(name).parts) for name in images]
    settled, notices = settle_splits(samples, splits, "folders train and test in images and in labels")
    return Dataset(f"yolo={source.name}", settled, lambda sample: source.read(sample.image), notices, classes=classes)


class Label(NamedTuple):
    """One line of a label file: a class, and centre and size of a box as shares of the image's sides."""

    class_id: int
    x: float
    y: float
    width: float
    height: float

    def to_box(self, width: int, height: int) -> Box:
        """Returns the box in an image of this size in pixels: inside, of at least one pixel; empty if the image is."""
        left, right = _edges(self.x, self.width, width)
        top, bottom = _edges(self.y, self.height, height)
        return Box(left, top, right, bottom, self.class_id)


def parse_labels(source: Source, file: str, class_ids: Sequence[int]) -> list[Label]:
    """Reads a label file; raises DataError, which names the line, for one that is not a label of these classes."""
    labels = []
    text = source.read(file).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where, shown = f"{source.path}: {file} line {number}", repr(line[:60])
        match = re.fullmatch(r"\s*(\d{1,6})((?:\s+\S+){4})\s*", line, re.ASCII)
        try:
            label = Label(int(match[1]), *map(float, match[2].split())) if match else None
        except ValueError:
            label = None
        if label is None:
            raise DataError(f"{where} is {shown}; expected five numbers: class cx cy w h")
        if label.class_id not in class_ids:
            raise DataError(f"{where} has class {label.class_id}; ids are 0 to {class_ids[-1]}")
        if not all(0 <= share <= 1 for share in label[1:]):  # False for NaN, too
            raise DataError(f"{where} is {shown}; centre and size must be shares of the image, 0 to 1")
        if not label.width or not label.height:
            raise DataError(f"{where} has a box without area: {shown}")
        labels.append(label)
    return labels


def _edges(centre: float, share: float, length: int) -> tuple[int, int]:
    """Returns the first pixel and the one after the last: inside the image, and different unless it has no pixel."""
    first = max(min(round((centre - share / 2) * length), length - 1), 0)
    return first, min(max(round((centre + share / 2) * length), first + 1), length)


def holds_yolo(names: list[str]) -> bool:
    """Returns whether a folder or zip with the files `names` looks like a YOLO data set."""
    parts = [PurePosixPath(name).parts for name in names]
    has_names = any(each[-1] in NAME_FILES for each in parts)
    return has_names and any(IMAGES in each for each in parts) and any(LABELS in each for each in parts)


def _classes(source: Source, names: list[str]) -> ClassSet:
    file = next((name for wanted in NAME_FILES for name in names if PurePosixPath(name).name == wanted), None)
    if file is None:
        raise DataError(f"{source.path} has none of {', '.join(NAME_FILES)}: add one, which names the classes by id")
    text = source.read(file).decode("utf-8-sig", errors="replace")
    if file.endswith(".txt"):
        found = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        try:
            content = yaml.safe_load(text)
            listed = content["names"]
            found = (
                [str(listed[key]) for key in sorted(listed, key=int)]
                if isinstance(listed, dict)
                else list(map(str, listed))
            )
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{source.path}: {file} has no `names` of classes ({error!r}): add them") from error
    if not found:
        raise DataError(f"{source.path}: {file} names no class: add the names, in the order of the ids")
    return class_set(source.path, found)


def _label_file(image: str) -> str:
    """Returns the label file of an image: the last folder `images` of its path becomes `labels`."""
    parts = list(PurePosixPath(image).with_suffix(".txt").parts)
    position = len(parts) - 1 - parts[::-1].index(IMAGES)
    parts[position] = LABELS
    return "/".join(parts)
