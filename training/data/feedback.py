"""Reader of feedback: answers that people corrected through the gateway, and the pictures that they are about.

    FOLDER/<id>/image.<jpg|png|webp|ppm>     as it was uploaded
    FOLDER/<id>/feedback.json                {"schema": 1, "signs": [{"box": [l, t, r, b], "class_id": n}], ...}

An id begins with the time of arrival, so that the newest comes last when sorted. `.partial-<id>` is an entry that is
still being written. Boxes are in pixels of the picture turned upright as its EXIF says, right and bottom exclusive,
and are rounded to whole pixels here. `"signs": []` says that there is no sign in the picture.

All of it is training data. Of pictures with the same bytes the newest entry counts. An entry that cannot be used is
left out and told, where the readers of the benchmarks refuse the whole: a benchmark that is damaged is to be fetched
again, but one bad picture of a stranger must not stop a loop that runs by itself. Every image is therefore decoded
once on loading.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from traffic_signs.classes import NUM_CLASSES
from traffic_signs.preprocessing import ImageError, decode
from training.data.records import FEEDBACK, Box, Dataset, Problem, Sample
from training.data.source import Source, open_source
from training.data.threads import map_in_threads
from training.errors import DataError

SCHEMA = 1
LABELS = "feedback.json"
IMAGE = "image."
FARTHEST = 1e6  # pixels; no image is as wide, and all such numbers can be rounded


@dataclass(frozen=True)
class _Entry:
    """One entry that can be used: its sample, and the sha256 of the image's bytes."""

    sample: Sample
    sha256: str


class _EntryError(Exception):
    """What is wrong with an entry, as a sentence without its end."""


def load_feedback(path: Path) -> Dataset:
    """Reads a folder of feedback, or a zip of one; entries that cannot be used are in `left_out`.

    Args:
        path: the folder that holds the entries. New ones may arrive meanwhile.

    Raises:
        DataError: there is nothing at `path`, or not one entry.
    """
    source = open_source(path)
    folders = find_entries(source.names())
    if not folders:
        raise DataError(
            f"there is no feedback in {path}: give the folder that the gateway writes (`signs gateway --feedback`), "
            f"with an ID/{LABELS} and an ID/{IMAGE}* for each entry"
        )
    # By name, whatever folder of a zip they lie in: names begin with the time.
    ordered = sorted(folders.items(), key=lambda item: (PurePosixPath(item[0]).name, item[0]))
    newest: dict[str, Sample] = {}
    left_out: list[Problem] = []
    superseded: list[str] = []
    for found in map_in_threads(partial(_read_entry, source), ordered):
        if isinstance(found, Problem):
            left_out.append(found)
            continue
        older = newest.pop(found.sha256, None)
        if older is not None:
            superseded.append(entry_of(older))
        newest[found.sha256] = found.sample
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
    )


def find_entries(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the files of each entry by its folder; hidden files, and entries not yet written whole, are none."""
    entries: dict[str, list[str]] = defaultdict(list)
    for name in names:
        path = PurePosixPath(name)
        is_part = path.name == LABELS or path.name.startswith(IMAGE)
        if is_part and len(path.parts) > 1 and not any(part.startswith(".") for part in path.parts):
            entries[path.parent.as_posix()].append(name)
    return dict(entries)


def entry_of(sample: Sample) -> str:
    """Returns the id of the entry that a sample comes from."""
    return PurePosixPath(sample.image).parent.name


def _read_entry(source: Source, entry: tuple[str, Sequence[str]]) -> _Entry | Problem:
    folder, files = entry
    try:
        images = sorted(name for name in files if PurePosixPath(name).name != LABELS)
        if len(images) != 1:
            raise _EntryError("it has no image" if not images else f"it has {len(images)} images: keep one")
        if len(images) == len(files):
            raise _EntryError(f"it has no {LABELS}")
        boxes = _parse(source.read(f"{folder}/{LABELS}"))
        data = source.read(images[0])
        width, height = _size(data)
        for fault in (box.fault(width, height) for box in boxes):
            if fault is not None:
                raise _EntryError(fault)
    except (_EntryError, DataError) as error:
        return Problem(folder, str(error))
    return _Entry(Sample(images[0], "train", boxes), hashlib.sha256(data).hexdigest())


def _size(data: bytes) -> tuple[int, int]:
    """Returns width and height of an image that can be decoded as a whole, upright."""
    try:
        return decode(data).size
    except ImageError as error:
        raise _EntryError(f"its image cannot be used: {error}") from error
    except Exception as error:  # a decoder meets bytes that its authors did not think of
        raise _EntryError(f"its image is damaged ({type(error).__name__}: {error})") from error


def _parse(data: bytes) -> tuple[Box, ...]:
    """Returns the boxes that an entry's JSON tells."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _EntryError(f"{LABELS} is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise _EntryError(f"{LABELS} holds no object")
    schema = content.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise _EntryError(f"{LABELS} has schema {_shown(schema)}, and this program reads schema {SCHEMA}")
    signs = content.get("signs")
    if not isinstance(signs, list):
        raise _EntryError(f"{LABELS} has no list of signs; without any sign it is []")
    return tuple(_parse_sign(sign) for sign in signs)


def _parse_sign(sign: object) -> Box:
    if not isinstance(sign, dict):
        raise _EntryError(f"a sign is {_shown(sign)}; expected its box and class_id")
    corners, class_id = sign.get("box"), sign.get("class_id")
    if not isinstance(corners, list) or len(corners) != 4 or not all(map(_is_pixel, corners)):
        raise _EntryError(f"a box is {_shown(corners)}; expected [left, top, right, bottom] in pixels")
    if not isinstance(class_id, int) or isinstance(class_id, bool) or not 0 <= class_id < NUM_CLASSES:
        raise _EntryError(f"a sign has class {_shown(class_id)}; ids are 0 to {NUM_CLASSES - 1}")
    left, top, right, bottom = map(round, corners)
    return Box(left, top, right, bottom, class_id)


def _is_pixel(value: Any) -> bool:
    """Returns whether a JSON value is a sensible number; NaN, which Python reads, is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= FARTHEST


def _shown(value: object) -> str:
    return repr(value)[:60]
