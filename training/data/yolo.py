"""Reader of YOLO's text labels: `yolo=PATH`.

`data.yaml` names the classes (`names`, a list or a mapping of ids), or else `classes.txt`, one per line. The labels of
`images/<...>/a.jpg` are in `labels/<...>/a.txt`, one line per box: `class cx cy width height`, as shares of the image's
sides. The split follows from the folder: `images/train` or `train/images`. An image without a text file, or with an
empty one, shows no object.

The format is read here because the one library for it outside training frameworks installs a second OpenCV.
"""

from pathlib import Path, PurePosixPath

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
FIELDS = 5


def load_yolo(path: Path) -> Dataset:
    """Reads the labels of a folder or zip, and the size of each image.

    Args:
        path: the folder or zip with the names of the classes.

    Raises:
        DataError: names or images are missing, or a label is invalid; the message names the line.
    """
    source = open_source(path)
    names = source.names()
    classes = _classes(source, names)
    present = frozenset(names)
    images = [name for name in names if name.lower().endswith(SUFFIXES) and IMAGES in PurePosixPath(name).parts]
    if not images:
        raise DataError(f"{path} holds no folder {IMAGES}/ with pictures: give the folder that holds images and labels")

    def read(name: str) -> Sample:
        label = _label_file(name)
        boxes = _boxes(source, name, label, len(classes)) if label in present else ()
        return Sample(name, "train", boxes)

    samples = list(map_in_threads(read, images))
    if not any(sample.boxes for sample in samples):
        raise DataError(f"{path} has pictures and no labels: the labels of images/a.jpg are in labels/a.txt")
    named = [next((said for part in PurePosixPath(name).parts if (said := split_named(part))), "") for name in images]
    settled, notices = settle_splits(samples, named)
    return Dataset(f"yolo={source.name}", settled, lambda sample: source.read(sample.image), notices, classes=classes)


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


def _boxes(source: Source, image: str, file: str, classes: int) -> tuple[Box, ...]:
    lines = [line.split() for line in source.read(file).decode("utf-8-sig", errors="replace").splitlines()]
    rows = [(number, fields) for number, fields in enumerate(lines, start=1) if fields]
    if not rows:
        return ()
    width, height = upright_size(source, image)
    boxes = []
    for number, fields in rows:
        where = f"{source.path}: {file} line {number}"
        try:
            class_id, (x, y, w, h) = int(fields[0]), map(float, fields[1:])
        except ValueError as error:
            raise DataError(f"{where} is not `class cx cy width height`: {' '.join(fields)[:80]}") from error
        if not 0 <= class_id < classes:
            raise DataError(f"{where} has class {class_id}; the data set names 0 to {classes - 1}")
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= 1 and 0 < h <= 1):
            raise DataError(f"{where} has numbers that are no shares of the image's sides: {' '.join(fields)[:80]}")
        left, top = round((x - w / 2) * width), round((y - h / 2) * height)
        right, bottom = round((x + w / 2) * width), round((y + h / 2) * height)
        boxes.append(
            Box(
                max(0, left), max(0, top), min(width, max(right, left + 1)), min(height, max(bottom, top + 1)), class_id
            )
        )
    return tuple(boxes)
