"""Reader of COCO's format for detection: `coco=PATH` (https://cocodataset.org/#format-data).

The reader takes every JSON file below PATH with `images`, `annotations` and `categories`. The split follows from the
name of the file or its folders: `instances_train2017.json`, `valid/_annotations.coco.json`. Images are found beside the
file or by name anywhere below PATH. A box is `[left, top, width, height]` in pixels. Crowd regions (`iscrowd`) are left
out. The categories of the detector are the values of `supercategory`, if there are several.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from training.data.classes import class_set
from training.data.records import Box, Dataset, Problem, Sample
from training.data.source import Source, open_source
from training.data.splits import settle_splits, split_named
from training.errors import DataError

PARTS = ("images", "annotations", "categories")


def load_coco(path: Path) -> Dataset:
    """Reads the labels of a folder or zip.

    Raises DataError if there is no such file, the categories of two files differ, or a label is invalid.
    """
    source = open_source(path)
    names = source.names()
    files = {name: content for name in names if (content := _content(source, name)) is not None}
    if not files:
        raise DataError(f"{path} is not COCO: it holds no JSON file with {', '.join(PARTS)}")
    categories = _categories(source, files)
    ids = {number: position for position, number in enumerate(categories)}
    by_name = {PurePosixPath(name).name: name for name in reversed(names)}
    present = frozenset(names)
    samples: dict[str, tuple[Sample, str]] = {}
    left_out: list[Problem] = []
    for name, content in files.items():
        for sample in _samples(source, name, content, ids, by_name, present, left_out):
            samples.setdefault(sample.image, (sample, split_named(re.split("[^a-zA-Z]+", name))))
    if not samples:
        raise DataError(f"{path} holds labels, but none of their images: put the images beside {next(iter(files))}")
    settled, notices = settle_splits(
        [each for each, _ in samples.values()],
        [split for _, split in samples.values()],
        "a JSON file for each split, such as train.json and test.json",
    )
    groups = [group for _, group in categories.values()]
    is_grouped = all(groups) and len(set(groups)) > 1
    classes = class_set(path, [name for name, _ in categories.values()], groups if is_grouped else ())
    read = lambda sample: source.read(sample.image)  # noqa: E731
    return Dataset(f"coco={source.name}", settled, read, notices, tuple(left_out), classes=classes)


def holds_coco(source: Source, names: list[str]) -> bool:
    """Returns whether a folder or zip with the files `names` has labels in COCO's format."""
    return any(_content(source, name) is not None for name in names if name.endswith(".json"))


def _content(source: Source, name: str) -> dict[str, Any] | None:
    """Returns the content of a JSON file in COCO's format; None for any other file."""
    if not name.endswith(".json"):
        return None
    try:
        content = json.loads(source.read(name))
    except ValueError as error:
        raise DataError(f"{source.path}: {name} is not JSON ({error}): restore the file, or remove it") from error
    has_parts = isinstance(content, dict) and all(isinstance(content.get(part), list) for part in PARTS)
    return content if has_parts else None


def _categories(source: Source, files: Mapping[str, dict[str, Any]]) -> dict[int, tuple[str, str]]:
    """Returns the name and supercategory of each category that has boxes, by ascending id."""
    found: dict[int, tuple[str, str]] = {}
    used: set[int] = set()
    for name, content in files.items():
        try:
            mine = {
                int(each["id"]): (str(each["name"]), str(each.get("supercategory") or ""))
                for each in content["categories"]
            }
            used |= {int(each["category_id"]) for each in content["annotations"]}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{source.path}: {name} has a category without id or name ({error!r}): restore it"
            ) from error
        for number, category in mine.items():
            if found.setdefault(number, category) != category:
                raise DataError(
                    f"{source.path}: {name} calls category {number} {category[0]!r}, another file "
                    f"{found[number][0]!r}: the files are of different data sets; give one of them"
                )
    unknown = used - set(found)
    if unknown:
        raise DataError(
            f"{source.path} has boxes of category {min(unknown)}, which no file describes: restore the file"
        )
    return {number: found[number] for number in sorted(used)}


def _samples(
    source: Source,
    file: str,
    content: dict[str, Any],
    ids: Mapping[int, int],
    by_name: Mapping[str, str],
    present: frozenset[str],
    left_out: list[Problem],
) -> Iterator[Sample]:
    """Yields the samples of one file whose images exist; the others are added to `left_out`."""
    boxes: dict[Any, list[Box]] = {}
    for number, each in enumerate(content["annotations"]):
        where = f"{source.path}: {file} annotation {number}"
        try:
            if each.get("iscrowd"):
                continue
            left, top, width, height = (float(value) for value in each["bbox"])
            box = Box(round(left), round(top), round(left + width), round(top + height), ids[int(each["category_id"])])
            boxes.setdefault(each["image_id"], []).append(box)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{where} has no bbox of four numbers, image_id and category_id ({error!r})") from error
        if box.right <= box.left or box.bottom <= box.top:
            raise DataError(f"{where} has a box without area: {each['bbox']}")
    for each in content["images"]:
        try:
            listed, number = PurePosixPath(str(each["file_name"]).replace("\\", "/")), each["id"]  # written on Windows
        except (KeyError, TypeError) as error:
            raise DataError(f"{source.path}: {file} has an image without id or file_name") from error
        beside = (PurePosixPath(file).parent / listed).as_posix()
        image = beside if beside in present else by_name.get(listed.name)
        if image is None:
            left_out.append(Problem(str(listed), f"{file} lists it, and it is not here"))
            continue
        yield Sample(image, "train", tuple(boxes.get(number, ())))
