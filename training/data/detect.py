"""Detects the kind of a data set by its files."""

from pathlib import Path, PurePosixPath

from training.data import coco, feedback, gtsdb, gtsrb, yolo
from training.data.source import inner_archive, open_source
from training.errors import DataError


def detect_kind(path: Path) -> str:
    """Returns the kind of a folder or zip, a key of `training.data.load.LOADERS`, without checking the labels.

    A folder of pictures per class is not detected, because almost any folder looks like one.

    Raises:
        DataError: `path` does not exist, is not a known data set, or contains both benchmarks.
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
