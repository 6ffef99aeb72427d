"""Real images in the shape of a network's input, for parity, calibration of int8, and accuracy."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from export.arrays import Images
from export.errors import ExportError
from export.kinds import find_kind
from export.repository.class_names import class_difference
from traffic_signs.classes import GERMAN_SIGNS
from traffic_signs.progress import ProgressCallback, silent
from training.checkpoint import CheckpointInfo
from training.data.load import load_data
from training.data.records import Dataset


@dataclass(frozen=True)
class Labels:
    """Labels and images to calibrate a network and to measure its accuracy."""

    truth: Any  # of the test images, as `export.kinds.ModelKind.score` takes it
    calibration: Images  # uint8 [m, height, width, 3], training images
    data: str
    names: tuple[str, ...] = GERMAN_SIGNS.category_names


def real_samples(info: CheckpointInfo, data: str) -> Images:
    """Returns test images of a data set: all sign crops for a classifier, the first scenes for a detector.

    Returns:
        uint8 [n, height, width, 3]; none for empty `data`.

    Raises:
        ExportError: the data set has no scenes, or other classes than the network.
        training.errors.DataError: it cannot be read.
    """
    if not data:
        return np.empty((0, *info.input_size, 3), np.uint8)
    height, width = info.input_size
    dataset = load_data(data)
    _label_names(info, dataset)
    return find_kind(info.model).read_images(dataset, (height, width))


def labelled_samples(info: CheckpointInfo, data: str, progress: ProgressCallback = silent) -> tuple[Images, Labels]:
    """Returns all labelled test images, uint8 [n, height, width, 3], their labels, and training images to calibrate.

    Raises:
        ExportError: the data set has no scenes, or the network has other classes than the labels.
        training.errors.DataError: it cannot be read, or a split has no labelled signs.
    """
    dataset, kind, (height, width) = load_data(data), find_kind(info.model), info.input_size
    names = _label_names(info, dataset)
    size, count = (height, width), kind.calibration_images
    images, truth = kind.read_labelled(dataset, "test", size, partial(progress, "reading test images"))
    signs = [sample for sample in dataset.split("train") if sample.boxes]
    chosen = np.random.default_rng(0).permutation(len(signs))[:count]  # the same each time
    some = replace(dataset, samples=tuple(signs[index] for index in chosen))
    calibration, _ = kind.read_labelled(some, "train", size, partial(progress, "reading training images"))
    return images, Labels(truth, calibration[:count], dataset.name, names)


def _label_names(info: CheckpointInfo, dataset: Dataset) -> tuple[str, ...]:
    """Returns the names of the labels; raises ExportError if they are not the network's classes."""
    names = find_kind(info.model).label_names(dataset.classes)
    if difference := class_difference(info.class_names, names):
        raise ExportError(
            f"the checkpoint has other classes than {dataset.name} ({difference}): give data of its own classes"
        )
    return names
