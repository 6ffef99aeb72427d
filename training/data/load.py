"""Loads data sets by their command-line form: `KIND=PATH`, such as `gtsdb=PATH` or `images=PATH`, or a path."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from traffic_signs.classes import ClassSet
from training.data.coco import load_coco
from training.data.detect import detect_kind
from training.data.feedback import load_feedback
from training.data.gtsdb import load_gtsdb
from training.data.gtsrb import load_gtsrb
from training.data.image_folders import load_image_folders
from training.data.records import FEEDBACK, Dataset
from training.data.yolo import load_yolo
from training.errors import DataError

LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "gtsdb": load_gtsdb,
    "gtsrb": load_gtsrb,
    FEEDBACK: load_feedback,
    "images": load_image_folders,
    "coco": load_coco,
    "yolo": load_yolo,
}


def load_data(spec: str) -> Dataset:
    """Reads the labels of a data set.

    Args:
        spec: a key of LOADERS, `=` and the path of a folder or zip; or the path alone, whose kind is then detected.

    Raises:
        DataError: the form is invalid, or the data set cannot be read.
    """
    kind, path = _parse(spec)
    return LOADERS[kind](path)


def load_together(specs: Sequence[str], classes: ClassSet | None = None) -> list[Dataset]:
    """Reads data sets that are used together: feedback gets its class ids from the others.

    Args:
        specs: as for `load_data`.
        classes: of what else they are used with; None for nothing.

    Returns:
        The data sets in the same order.

    Raises:
        DataError: as `load_data` does.
    """
    parsed = [_parse(spec) for spec in specs]
    loaded = {number: LOADERS[kind](path) for number, (kind, path) in enumerate(parsed) if kind != FEEDBACK}
    first = next(iter(loaded.values()), None)
    known_to = first.name if first is not None else "the data"
    classes = first.classes if first is not None else classes
    feedback = {
        number: load_feedback(path, classes, known_to) for number, (kind, path) in enumerate(parsed) if kind == FEEDBACK
    }
    return [dataset for _, dataset in sorted((loaded | feedback).items())]


def _parse(spec: str) -> tuple[str, Path]:
    """Returns the kind of data set that is meant, and its path."""
    for kind in LOADERS:
        path = spec.removeprefix(f"{kind}=")
        # A file may be called gtsdb=something; it is meant unless the rest is a path, too.
        if path not in ("", spec) and (_exists(path) or not _exists(spec)):
            return kind, Path(path)
    if not _exists(spec):
        forms = " or ".join(f"{kind}=PATH" for kind in LOADERS)
        raise DataError(f"{spec!r} names no data set: give {forms}, or a path that exists; a folder or a zip")
    return detect_kind(Path(spec)), Path(spec)


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists, it takes any text
