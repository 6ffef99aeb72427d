"""Crops of street scenes without a sign, like those that a detector's false alarms pass to the classifier."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.preprocessing import crop
from training.data.images import Progress, read_images, silent
from training.data.records import Dataset, Sample, Split

CROPS_A_SCENE = 10
MEDIAN_SIZE, SIZE_SPREAD, SMALLEST, LARGEST = 38.0, 0.5, 16.0, 128.0  # pixels; the distribution of GTSDB's signs
TRIES = 50


def cut_background(
    dataset: Dataset, split: Split, size: int, seed: int, progress: Progress = silent
) -> npt.NDArray[np.uint8]:
    """Cuts CROPS_A_SCENE squares from each scene, of the sizes of signs, that touch no labelled sign.

    Signs of other classes are not labelled, so a few crops show one.

    Returns:
        uint8 [n, size, size, 3].

    Raises:
        DataError: an image is broken.
    """
    samples = list(dataset.split(split))
    numbers = {sample.image: number for number, sample in enumerate(samples)}

    def cut(sample: Sample, image: Image.Image) -> list[npt.NDArray[np.uint8]]:
        rng = np.random.default_rng((seed, numbers[sample.image]))
        boxes = [_free_box(sample, image.size, rng) for _ in range(CROPS_A_SCENE)]
        return [crop(image, box, size) for box in boxes if box is not None]

    images, _ = read_images(dataset, samples, cut, progress)
    return np.stack([each for crops in images for each in crops])


def _free_box(
    sample: Sample, picture: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float, float, float] | None:
    """Returns left, top, right and bottom of a random square that touches no sign; None if none was found."""
    for _ in range(TRIES):
        side = float(np.clip(MEDIAN_SIZE * np.exp(rng.normal(0, SIZE_SPREAD)), SMALLEST, LARGEST))
        side = min(side, *picture)
        left, top = rng.uniform(0, picture[0] - side), rng.uniform(0, picture[1] - side)
        right, bottom = left + side, top + side
        if not any(
            left < box.right and box.left < right and top < box.bottom and box.top < bottom for box in sample.boxes
        ):
            return left, top, right, bottom
    return None
