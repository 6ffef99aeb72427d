"""Reader of feedback: pictures with the corrections that users sent through the gateway.

    FOLDER/<id>/image.<jpg|png|webp|ppm|bmp> as uploaded
    FOLDER/<id>/feedback.json                {"schema": 2, "signs": [{"box": [l, t, r, b], "name": "stop", ...}],
                                              "classes": [{"name": "stop", "category": "other"}, ...], ...}

An id begins with the time of arrival, so the newest entry sorts last. `.partial-<id>` is an entry that is still being
written. Boxes are in pixels of the upright picture (after EXIF orientation), right and bottom exclusive, and are
rounded to whole pixels here. `"signs": []` means that the picture shows no sign.

A sign is identified by its name: its `class_id` is that of the models that were served then, whose classes the entry
lists if it has signs. Feedback has the classes of the data set that it is used with; alone, those of its newest entry.
Entries of schema 1 have no names, and their ids are those of the German signs.

All entries are training data. If several have the same picture, the newest counts. Unusable entries are left out and
reported, while the readers of the benchmarks refuse the whole data set: one bad picture of a user must not stop an
automatic retraining. Therefore every image is decoded once on loading.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from traffic_signs.preprocessing import ImageError, decode
from training.data.records import FEEDBACK, Box, Dataset, Problem, Sample
from training.data.source import Source, open_source
from training.data.threads import map_in_threads
from training.errors import DataError

SCHEMAS = (1, 2)
LABELS = "feedback.json"
IMAGE = "image."
FARTHEST = 1e6  # pixels; larger than any image, and small enough to round

Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Entry:
    """A readable entry: its place, signs and classes, and size and sha256 of its image."""

    folder: str
    image: str
    signs: tuple[tuple[Corners, str], ...]
    classes: ClassSet | None
    size: tuple[int, int]
    sha256: str

    def sample(self, ids: Mapping[str, int], known_to: str) -> Sample:
        """Returns the entry as a sample of classes by their names; raises _EntryError if it does not fit them."""
        unknown = next((name for _, name in self.signs if name not in ids), None)
        if unknown is not None:
            raise _EntryError(f"a sign is {_shown(unknown)}, which is not a class of {known_to}")
        boxes = tuple(Box(*corners, ids[name]) for corners, name in self.signs)
        for fault in (box.fault(*self.size) for box in boxes):
            if fault is not None:
                raise _EntryError(fault)
        return Sample(self.image, "train", boxes)


class _EntryError(Exception):
    """The problem of an entry, as a sentence without its full stop."""


def load_feedback(path: Path, classes: ClassSet | None = None, known_to: str = "the data") -> Dataset:
    """Reads a folder or zip of feedback; unusable entries are in `left_out`.

    The gateway may add entries during the call. `classes` are those of the data `known_to` that it is used with.
    Raises DataError if `path` does not exist or has no entry.
    """
    source = open_source(path)
    folders = find_entries(source.names())
    if not folders:
        raise DataError(
            f"there is no feedback in {path}: give the folder that the gateway writes (`signs gateway --feedback`), "
            f"with an ID/{LABELS} and an ID/{IMAGE}* for each entry"
        )
    # By name, in any folder of a zip: names begin with the time.
    ordered = sorted(folders.items(), key=lambda item: (PurePosixPath(item[0]).name, item[0]))
    read = list(map_in_threads(partial(_read_entry, source), ordered))
    listed = [entry.classes for entry in read if isinstance(entry, _Entry) and entry.classes is not None]
    classes = classes or (listed[-1] if listed else GERMAN_SIGNS)
    ids = {name: number for number, name in enumerate(classes.names)}
    newest: dict[str, Sample] = {}
    left_out: list[Problem] = []
    superseded: list[str] = []
    for entry in read:
        if isinstance(entry, Problem):
            left_out.append(entry)
            continue
        try:
            sample = entry.sample(ids, known_to)
        except _EntryError as error:
            left_out.append(Problem(entry.folder, str(error)))
            continue
        older = newest.pop(entry.sha256, None)
        if older is not None:
            superseded.append(entry_of(older))
        newest[entry.sha256] = sample
    notices = []
    if superseded:
        notices.append(
            f"{len(superseded)} entries, such as {superseded[0]}, are about pictures that were corrected again later: "
            "only the newest correction counts"
        )
    return Dataset(
        f"{FEEDBACK}={source.name}",
        tuple(newest.values()),
        lambda sample: source.read(sample.image),
        tuple(notices),
        tuple(left_out),
        tuple(superseded),
        classes,
    )


def find_entries(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the files of each complete entry by its folder, without hidden files."""
    entries: dict[str, list[str]] = defaultdict(list)
    for name in names:
        path = PurePosixPath(name)
        is_part = path.name == LABELS or path.name.startswith(IMAGE)
        if is_part and len(path.parts) > 1 and not any(part.startswith(".") for part in path.parts):
            entries[path.parent.as_posix()].append(name)
    return dict(entries)


def entry_of(sample: Sample) -> str:
    """Returns the id of a sample's entry."""
    return PurePosixPath(sample.image).parent.name


def _read_entry(source: Source, entry: tuple[str, Sequence[str]]) -> _Entry | Problem:
    folder, files = entry
    try:
        images = sorted(name for name in files if PurePosixPath(name).name != LABELS)
        if len(images) != 1:
            raise _EntryError("it has no image" if not images else f"it has {len(images)} images: keep one")
        if len(images) == len(files):
            raise _EntryError(f"it has no {LABELS}")
        signs, classes = _parse(source.read(f"{folder}/{LABELS}"))
        data = source.read(images[0])
        return _Entry(folder, images[0], signs, classes, _size(data), hashlib.sha256(data).hexdigest())
    except (_EntryError, DataError) as error:
        return Problem(folder, str(error))


def _size(data: bytes) -> tuple[int, int]:
    """Decodes an image completely and returns its upright width and height."""
    try:
        return decode(data).size
    except ImageError as error:
        raise _EntryError(f"its image cannot be used: {error}") from error
    except Exception as error:  # decoders raise any error for damaged bytes
        raise _EntryError(f"its image is damaged ({type(error).__name__}: {error})") from error


def _parse(data: bytes) -> tuple[tuple[tuple[Corners, str], ...], ClassSet | None]:
    """Returns the signs of an entry, corners in whole pixels and a name each, and the classes that it lists."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _EntryError(f"{LABELS} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise _EntryError(f"{LABELS} holds no object")
    schema = content.get("schema")
    if schema not in SCHEMAS or isinstance(schema, bool):
        known = " and ".join(map(str, SCHEMAS))
        raise _EntryError(f"{LABELS} has schema {_shown(schema)}, and this release reads {known}")
    signs = content.get("signs")
    if not isinstance(signs, list):
        raise _EntryError(f"{LABELS} has no list of signs; without any sign it is []")
    if schema == 1:
        return tuple((_corners(sign), _german_name(sign)) for sign in signs), GERMAN_SIGNS if signs else None
    return tuple((_corners(sign), _name(sign)) for sign in signs), _parse_classes(content.get("classes"))


def _parse_classes(listed: object) -> ClassSet | None:
    if not listed:
        return None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise _EntryError(f"its classes are {_shown(listed)}; expected a list of names and categories")
    names, categories = ([each.get(part) for each in listed] for part in ("name", "category"))
    if not all(isinstance(each, str) for each in (*names, *categories)) or len(set(names)) < len(names):
        raise _EntryError(f"its classes are {_shown(listed)}; expected a list of names and categories, each name once")
    if tuple(names) == GERMAN_SIGNS.names:
        return GERMAN_SIGNS
    return ClassSet.of(names, categories if all(categories) else ())


def _corners(sign: Any) -> Corners:
    if not isinstance(sign, dict):
        raise _EntryError(f"a sign is {_shown(sign)}; expected its box and name")
    corners = sign.get("box")
    if not isinstance(corners, list) or len(corners) != 4 or not all(map(_is_pixel, corners)):
        raise _EntryError(f"a box is {_shown(corners)}; expected [left, top, right, bottom] in pixels")
    left, top, right, bottom = map(round, corners)
    return left, top, right, bottom


def _name(sign: Mapping[str, object]) -> str:
    name = sign.get("name")
    if not isinstance(name, str) or not name:
        raise _EntryError(f"a sign has the name {_shown(name)}; expected that of its class")
    return name


def _german_name(sign: Mapping[str, object]) -> str:
    class_id, last = sign.get("class_id"), len(GERMAN_SIGNS) - 1
    if not isinstance(class_id, int) or isinstance(class_id, bool) or not 0 <= class_id <= last:
        raise _EntryError(f"a sign has class {_shown(class_id)}; ids are 0 to {last}")
    return GERMAN_SIGNS.names[class_id]


def _is_pixel(value: Any) -> bool:
    """Returns whether a JSON value is a number below FARTHEST; Python reads NaN from JSON, too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= FARTHEST


def _shown(value: object) -> str:
    return repr(value)[:60]
