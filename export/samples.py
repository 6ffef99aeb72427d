"""Real images in the shape of a network's input, to prove parity on."""

import itertools

import numpy as np

from export.errors import ExportError
from export.parity import Images
from training.checkpoint import CheckpointInfo
from training.data.crops import cut_crops
from training.data.load import load_data
from training.models import detector
from training.preprocessing import decode

MOST_SCENES = 16  # a scene is as much work as 500 crops


def real_samples(info: CheckpointInfo, data: str) -> Images:
    """Returns test images of a data set: all sign crops for a classifier, the first scenes for a detector.

    Args:
        info: of the checkpoint whose input they fit.
        data: of one data set, as `training.data.load.load_data` takes it; empty for none.

    Returns:
        uint8 [n, height, width, 3].

    Raises:
        ExportError: the data set has no scenes.
        training.errors.DataError: it cannot be read.
    """
    if not data:
        return np.empty((0, *info.input_size, 3), np.uint8)
    dataset = load_data(data)
    if info.model != detector.MODEL_NAME:
        return cut_crops(dataset, "test", info.input_size[0]).images
    if dataset.kind != "gtsdb":
        raise ExportError(f"{dataset.name} has no street scenes: prove a detector on gtsdb=PATH")
    scenes = []
    for sample in itertools.islice(dataset.split("test"), MOST_SCENES):
        scenes.append(np.asarray(decode(dataset.read(sample))))
    return np.stack(scenes)
