"""Data sets by name, as the command line gives them: `gtsdb=PATH`, `gtsrb=PATH`."""

from collections.abc import Callable
from pathlib import Path

from training.data.gtsdb import load_gtsdb
from training.data.gtsrb import load_gtsrb
from training.data.records import Dataset
from training.errors import DataError

LOADERS: dict[str, Callable[[Path], Dataset]] = {"gtsdb": load_gtsdb, "gtsrb": load_gtsrb}


def load_data(spec: str) -> Dataset:
    """Reads the labels of a data set.

    Args:
        spec: `gtsdb=PATH` or `gtsrb=PATH`, where the path is a folder or a zip.

    Raises:
        DataError: it has another form, or the data set cannot be read.
    """
    kind, separator, path = spec.partition("=")
    if kind not in LOADERS or not separator or not path:
        forms = " or ".join(f"{kind}=PATH" for kind in LOADERS)
        raise DataError(f"{spec!r} names no data set: give {forms}, a folder or a zip")
    return LOADERS[kind](Path(path))
