"""Corruptions of images by weather, lens, light and transmission, in five strengths, for measuring robustness.

Sizes are in pixels. Signs are about 40 pixels wide in crops and in scenes, so one table serves the classifier and the
detector. The boxes of signs do not move. The training's augmentation reaches about strength 1 or 2, with
occlusion 3, and has no rain and no snow.
"""

from collections.abc import Callable, Mapping
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt

STRENGTHS = (1, 2, 3, 4, 5)
CELL = 48  # pixels; the occlusion has one hole in each square of this side

Pixels = npt.NDArray[np.uint8]
Shape = tuple[int, int]  # height and width in pixels


def _holes(side: int, shape: Shape) -> A.BasicTransform:
    height, width = shape
    count = max(1, round(height * width / CELL**2))
    tall, wide = side / height, side / width
    return A.CoarseDropout((count, count), (tall, tall), (wide, wide), fill="random_uniform", p=1)


def _rain(length: int, shape: Shape) -> A.BasicTransform:
    # albumentations scales the number of drops with the height, not with the area: scenes get more and longer drops, so
    # that rain covers about the same share of a scene as of a crop.
    is_crop = shape[0] < 4 * CELL
    return A.RandomRain(
        drop_length=length if is_crop else round(3.5 * length),
        blur_value=3,
        brightness_coefficient=0.8,
        rain_type="drizzle" if is_crop else "torrential",
        p=1,
    )


def _light(factor: float, shape: Shape) -> A.BasicTransform:
    return A.MultiplicativeNoise((factor, factor), p=1)


# By name, a function that builds the transform for images of a shape, and its argument at each strength.
CORRUPTIONS: Mapping[str, tuple[Callable[[Any, Shape], A.BasicTransform], tuple[Any, ...]]] = {
    "defocus": (lambda sigma, shape: A.GaussianBlur(0, (sigma, sigma), p=1), (1.0, 1.5, 2.0, 3.0, 4.0)),
    "motion": (lambda side, shape: A.MotionBlur((side, side), allow_shifted=False, p=1), (5, 9, 13, 17, 21)),
    "noise": (lambda std, shape: A.GaussNoise((std, std), p=1), (0.04, 0.08, 0.12, 0.18, 0.26)),
    "dark": (_light, (0.5, 0.3, 0.2, 0.12, 0.07)),
    "bright": (_light, (1.5, 2.0, 2.7, 3.6, 5.0)),
    "jpeg": (lambda quality, shape: A.ImageCompression("jpeg", (quality, quality), p=1), (40, 25, 15, 10, 5)),
    "occlusion": (_holes, (10, 14, 18, 22, 26)),
    "rain": (_rain, (2, 4, 6, 9, 12)),
    "snow": (
        lambda snow, shape: A.RandomSnow(snow[1], (snow[0], snow[0]), p=1),
        ((0.1, 1.5), (0.2, 2.0), (0.3, 2.5), (0.4, 3.0), (0.5, 3.5)),
    ),
}


class Corruption:
    """One of CORRUPTIONS at one of STRENGTHS; the same index gives the same result.

    `shape` is height and width of the images in pixels.
    """

    def __init__(self, name: str, strength: int, shape: tuple[int, int]) -> None:
        make, arguments = CORRUPTIONS[name]
        self._transform = A.Compose([make(arguments[strength - 1], shape)])

    def __call__(self, image: Pixels, index: int) -> Pixels:
        """Returns the corrupted image, uint8 [height, width, 3]; `index` is the random seed."""
        self._transform.set_random_seed(index)
        return np.asarray(self._transform(image=image)["image"], np.uint8)
