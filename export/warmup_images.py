"""Drawn images in the shape of a network's input: to warm it up with, and to load it with."""

import numpy as np
from PIL import Image

from export.parity import Images
from traffic_signs.preprocessing import crop
from training.data.pictograms import CLASS_COUNT
from training.data.synthetic import draw_scene
from training.models import detector

STREET = (400, 240)  # width and height in pixels of the scenes that drawn signs are cut out of


def draw_samples(model: str, height: int, width: int, count: int) -> Images:
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
