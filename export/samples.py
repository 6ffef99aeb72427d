"""Images in the shape of a network's input: real ones to prove parity on, drawn ones to warm up and to measure with."""

import itertools

import numpy as np
from PIL import Image

from export.errors import ExportError
from export.parity import Images
from training.checkpoint import CheckpointInfo
from training.data.crops import cut_crops
from training.data.load import load_data
from training.data.pictograms import CLASS_COUNT
from training.data.synthetic import draw_scene
from training.models import detector
from training.preprocessing import crop, decode

MOST_SCENES = 16  # a scene is as much work as 500 crops
STREET = (400, 240)  # width and height in pixels of the scenes that drawn signs are cut out of


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


def drawn_samples(model: str, height: int, width: int, count: int) -> Images:
    """Draws images as the network of a model gets them: street scenes for a detector, single signs for a classifier.

    The same arguments give the same images.

    Args:
        model: name of the network.
        height: of the network's input in pixels.
        width: likewise.
        count: how many images.

    Returns:
        uint8 [count, height, width, 3].
    """
    rng = np.random.default_rng(0)
    images = []
    for number in range(count):
        class_id = number * 7 % CLASS_COUNT  # neighbours in this order look unlike each other
        if model == detector.MODEL_NAME:
            images.append(draw_scene([class_id], rng, width, height)[0])
        else:
            scene, (box,) = draw_scene([class_id], rng, *STREET)
            images.append(crop(Image.fromarray(scene), box, height))
    return np.stack(images)
