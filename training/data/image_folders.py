"""Reader of pictures in one folder per class, the layout of torchvision's ImageFolder: `images=PATH`.

The layout is `PATH/<class>/<any>.jpg`, or `PATH/train/<class>/...` with `test` and `val` beside it. Folders below a
class hold pictures of that class. A folder that wraps all others, as in many archives, does not count. Each picture
shows one object that fills it. The classes are the sorted names of the folders. Pictures of any size are scaled.
"""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

from traffic_signs.pictures import SUFFIXES
from training.data.classes import class_set
from training.data.images import upright_size
from training.data.records import MOST_LISTED, Box, Dataset, Sample
from training.data.source import open_source
from training.data.splits import settle_splits, split_named
from training.data.threads import map_in_threads
from training.errors import DataError

FEWEST_CLASSES = 2


def load_image_folders(path: Path) -> Dataset:
    """Lists the pictures and reads their sizes.

    Raises DataError if there are fewer than two classes with pictures, or if it is ambiguous which folders
    are the classes.
    """
    source = open_source(path)
    files = [PurePosixPath(name) for name in source.names() if name.lower().endswith(SUFFIXES)]
    # A picture beside the folders, such as a contact sheet, is of no class.
    pictures = [name for name in files if len(name.parts) > 1 and not any(part.startswith(".") for part in name.parts)]
    level = _class_level(path, [name.parts[:-1] for name in pictures])
    pictures = [name for name in pictures if len(name.parts) > level + 1]
    names = sorted({name.parts[level] for name in pictures}, key=_natural)
    if len(names) < FEWEST_CLASSES:
        raise DataError(
            f"{path} does not hold two folders with pictures ({', '.join(SUFFIXES)}): give one with a folder for each "
            "class, PATH/<class>/<picture>.jpg"
        )
    ids = {name: number for number, name in enumerate(names)}

    def read(name: PurePosixPath) -> Sample:
        width, height = upright_size(source, str(name))
        return Sample(str(name), "train", (Box(0, 0, width, height, ids[name.parts[level]]),))

    samples = list(map_in_threads(read, pictures))
    splits = [split_named((*name.parts[:level], *name.parts[level + 1 : -1])) for name in pictures]
    settled, notices = settle_splits(samples, splits, "folders train/<class> and test/<class>")
    classes = class_set(path, names)
    return Dataset(f"images={source.name}", settled, lambda sample: source.read(sample.image), notices, classes=classes)


def _class_level(path: Path, folders: Sequence[tuple[str, ...]]) -> int:
    """Returns which part of the pictures' paths is the class; raises DataError if that is ambiguous."""
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False)))
    tops = {each[shared] for each in folders if len(each) > shared}
    splits = {name for name in tops if split_named([name])}
    classes = tops - splits
    if splits and classes:
        shown = " and ".join(", ".join(sorted(names, key=_natural)[:MOST_LISTED]) for names in (splits, classes))
        raise DataError(
            f"{path} holds {shown} side by side: put the folders of classes into the folders of splits, or rename a "
            "class that is called like a split"
        )
    whole = {each[shared] for each in folders if len(each) > shared + 2 and split_named([each[shared + 1]])}
    if whole and classes - whole:
        raise DataError(
            f"{path} holds {', '.join(sorted(whole, key=_natural)[:MOST_LISTED])}, with folders of splits and classes, "
            "beside other folders of pictures: give the path of that folder alone"
        )
    return shared + bool(splits)


def _natural(name: str) -> list[tuple[int, str]]:
    """Returns a sort key that puts `class 10` after `class 9`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
