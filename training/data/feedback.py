"""Reader of feedback: pictures with the corrections that users sent through the gateway.

    FOLDER/<id>/image.<jpg|png|webp|ppm>     as uploaded
    FOLDER/<id>/feedback.json                {"schema": 1, "signs": [{"box": [l, t, r, b], "class_id": n}], ...}

An id begins with the time of arrival, so the newest entry sorts last. `.partial-<id>` is an entry that is still being
written. Boxes are in pixels of the upright picture (after EXIF orientation), right and bottom exclusive, and are
rounded to whole pixels here. `"signs": []` means that the picture shows no sign.

All entries are training data. If several have the same picture, the newest counts. Unusable entries are left out and
reported, while the readers of the benchmarks refuse the whole data set: one bad picture of a user must not stop an
automatic retraining. Therefore every image is decoded once on loading.
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
FARTHEST = 1e6  # pixels; larger than any image, and small enough to round


@dataclass(frozen=True)
class _Entry:
    """A usable entry: its sample and the sha256 of the image's bytes."""

    sample: Sample
    sha256: str


class _EntryError(Exception):
    """The problem of an entry, as a sentence without its full stop."""


def load_feedback(path: Path) -> Dataset:
    """Reads a folder or zip of feedback; unusable entries are in `left_out`.

    Args:
        path: the folder of the entries; the gateway may add entries during the call.

    Raises:
        DataError: `path` does not exist or has no entry.
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
    """Decodes an image completely and returns its upright width and height."""
    try:
        return decode(data).size
    except ImageError as error:
        raise _EntryError(f"its image cannot be used: {error}") from error
    except Exception as error:  # decoders raise any error for damaged bytes
        raise _EntryError(f"its image is damaged ({type(error).__name__}: {error})") from error


def _parse(data: bytes) -> tuple[Box, ...]:
    """Returns the boxes in an entry's JSON."""
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
    """Returns whether a JSON value is a number below FARTHEST; Python reads NaN from JSON, too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= FARTHEST


def _shown(value: object) -> str:
    return repr(value)[:60]
