"""Loads data sets by their command-line form: `KIND=PATH`, such as `gtsdb=PATH` or `images=PATH`, or a path."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from traffic_signs.classes import ClassSet
from training.data import coco, feedback, gtsdb, gtsrb, image_folders, yolo
from training.data.records import FEEDBACK, Dataset
from training.data.source import inner_archive, open_source
from training.errors import DataError

LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "gtsdb": gtsdb.load_gtsdb,
    "gtsrb": gtsrb.load_gtsrb,
    FEEDBACK: feedback.load_feedback,
    "images": image_folders.load_image_folders,
    "coco": coco.load_coco,
    "yolo": yolo.load_yolo,
}


def load_data(spec: str) -> Dataset:
    """Reads the labels of a data set.

    `spec` is a key of LOADERS, `=` and the path of a folder or zip; or the path alone, whose kind is then detected.
    Raises DataError if the form is invalid, or the data set cannot be read.
    """
    kind, path = _parse(spec)
    return LOADERS[kind](path)


def load_together(specs: Sequence[str], classes: ClassSet | None = None) -> list[Dataset]:
    """Reads data sets that are used together: feedback gets its class ids from the others.

    `classes` are those of what else they are used with. Raises DataError as `load_data` does, or if one is given twice.
    """
    parsed = [_parse(spec) for spec in specs]
    places = [(kind, path.resolve()) for kind, path in parsed]
    doubled = next((spec for spec, place in zip(specs, places, strict=True) if places.count(place) > 1), None)
    if doubled is not None:
        raise DataError(f"{doubled} is given twice: name each data set once")
    loaded = {number: LOADERS[kind](path) for number, (kind, path) in enumerate(parsed) if kind != FEEDBACK}
    first = next(iter(loaded.values()), None)
    known_to = first.name if first is not None else "the data"
    classes = first.classes if first is not None else classes
    loaded |= {
        number: feedback.load_feedback(path, classes, known_to)
        for number, (kind, path) in enumerate(parsed)
        if kind == FEEDBACK
    }
    found = [dataset for _, dataset in sorted(loaded.items())]
    names = [dataset.name for dataset in found]
    # Folders of one name, such as two of feedback, get their paths as names.
    return [
        replace(dataset, name=f"{kind}={path}") if names.count(dataset.name) > 1 else dataset
        for dataset, (kind, path) in zip(found, parsed, strict=True)
    ]


def _parse(spec: str) -> tuple[str, Path]:
    """Returns the kind of data set that is meant, and its path."""
    for kind in LOADERS:
        path = spec.removeprefix(f"{kind}=")
        # A file may be called gtsdb=something; it is meant unless the rest is a path, too.
        if path not in ("", spec) and (_exists(path) or not _exists(spec)):
            return kind, Path(path)
    if not _exists(spec):
        forms = ", ".join(f"{kind}=PATH" for kind in LOADERS)
        raise DataError(f"{spec!r} names no data set: give {forms} or a path alone, of a folder or zip that exists")
    return detect_kind(Path(spec)), Path(spec)


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists, it takes any text


def detect_kind(path: Path) -> str:
    """Returns the kind of a folder or zip, a key of LOADERS, without checking the labels.

    A folder of pictures per class is not detected, because almost any folder looks like one. Raises DataError if `path`
    does not exist, is not a known data set, or contains both benchmarks.
    """
    source = open_source(path)
    names = source.names()
    has_gtsdb = gtsdb.holds_gtsdb(source, names)
    has_gtsrb = bool(gtsrb.find_label_files(names))
    if has_gtsdb and has_gtsrb:
        raise DataError(f"{path} holds both GTSDB and GTSRB: say which, with gtsdb={path} or gtsrb={path}")
    if has_gtsdb:
        return "gtsdb"
    if has_gtsrb:
        return "gtsrb"
    if any(feedback.LABELS in PurePosixPath(name).parts[1:] for name in names):
        return "feedback"
    if yolo.holds_yolo(names):
        return "yolo"
    if coco.holds_coco(source, names):
        return "coco"
    raise DataError(
        f"{path} is neither GTSDB nor GTSRB. Give the folder or zip FullIJCNN2013, TrainIJCNN2013, "
        "TestIJCNN2013Download or Kaggle's GTSDB_Train_and_Test; or GTSRB with its GT-000NN.csv and "
        "GT-final_test.csv, or Kaggle's copy of it with Train.csv and Test.csv; or feedback=PATH for corrected "
        "answers; of your own: images=PATH with a folder of pictures for each class, coco=PATH or yolo=PATH"
        f"{inner_archive(names)}"
    )
