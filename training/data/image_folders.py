"""Reader of pictures in one folder per class, the layout of torchvision's ImageFolder: `images=PATH`.

The layout is `PATH/<class>/<any>.jpg`, or `PATH/train/<class>/...` with `test` and `val` beside it. Each picture shows
one object that fills it. The classes are the sorted names of the folders. Pictures of any size are scaled.
"""

import re
from pathlib import Path, PurePosixPath

from traffic_signs.pictures import SUFFIXES
from training.data.classes import class_set
from training.data.images import upright_size
from training.data.records import Box, Dataset, Sample
from training.data.source import open_source
from training.data.splits import settle_splits, split_named
from training.data.threads import map_in_threads
from training.errors import DataError

FEWEST_CLASSES = 2


def load_image_folders(path: Path) -> Dataset:
    """Lists the pictures and reads their sizes.

    Raises DataError if there are fewer than two folders with pictures, or for an unreadable picture, which it names.
    """
    source = open_source(path)
    pictures = [PurePosixPath(name) for name in source.names() if name.lower().endswith(SUFFIXES)]
    placed = [(name, *_place(name)) for name in pictures if not any(part.startswith(".") for part in name.parts)]
    placed = [(name, split, label) for name, split, label in placed if label]
    names = sorted({label for _, _, label in placed}, key=_natural)
    if len(names) < FEWEST_CLASSES:
        raise DataError(
            f"{path} has {len(names)} folders with pictures ({', '.join(SUFFIXES)}): give one with a folder for each "
            "class, PATH/<class>/<picture>.jpg"
        )
    ids = {name: number for number, name in enumerate(names)}

    def read(entry: tuple[PurePosixPath, str, str]) -> Sample:
        name, _, label = entry
        width, height = upright_size(source, str(name))
        return Sample(str(name), "train", (Box(0, 0, width, height, ids[label]),))

    samples = list(map_in_threads(read, placed))
    settled, notices = settle_splits(samples, [split for _, split, _ in placed])
    classes = class_set(path, names)
    return Dataset(f"images={source.name}", settled, lambda sample: source.read(sample.image), notices, classes=classes)


def _place(name: PurePosixPath) -> tuple[str, str]:
    """Returns the split and the class that a picture's folders name; the class is empty without a folder."""
    folders = list(name.parts[:-1])
    classes = [folder for folder in folders if not split_named([folder])]
    return split_named(folders), classes[-1] if classes else ""


def _natural(name: str) -> list[tuple[int, str]]:
    """Returns a sort key that puts `class 10` after `class 9`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
