"""Corruptions of images by weather, lens, light and transmission, in five strengths, for measuring robustness.

Sizes are in pixels. Signs are about 40 pixels wide in crops and in scenes, so one table serves the classifier and the
detector. The boxes of signs do not move. The augmentation of the training reaches about strength 2 or 3.
"""

from collections.abc import Callable, Mapping

import albumentations as A
import numpy as np
import numpy.typing as npt

STRENGTHS = (1, 2, 3, 4, 5)
CELL = 48  # pixels; the occlusion has one hole in each square of this side

Pixels = npt.NDArray[np.uint8]
Make = Callable[[tuple[int, int]], A.BasicTransform]


def _by_strength(values: tuple[float, ...], make: Callable[[float], A.BasicTransform]) -> tuple[Make, ...]:
    return tuple(lambda shape, value=value: make(value) for value in values)


def _holes(side: int) -> Make:
    def make(shape: tuple[int, int]) -> A.BasicTransform:
        height, width = shape
        count = max(1, round(height * width / CELL**2))
        tall, wide = side / height, side / width
        return A.CoarseDropout(
            num_holes_range=(count, count),
            hole_height_range=(tall, tall),
            hole_width_range=(wide, wide),
            fill="random_uniform",
            p=1,
        )

    return make


def _rain(length: int) -> Make:
    def make(shape: tuple[int, int]) -> A.BasicTransform:
        # albumentations scales the number of drops with the height, not with the area: scenes get more and longer
        # drops, so that rain covers about the same share of a scene as of a crop.
        is_crop = shape[0] < 4 * CELL
        return A.RandomRain(
            drop_length=length if is_crop else round(3.5 * length),
            blur_value=3,
            brightness_coefficient=0.8,
            rain_type="drizzle" if is_crop else "torrential",
            p=1,
        )

    return make


def _snow(point: float, light: float) -> Make:
    return lambda shape: A.RandomSnow(light, (point, point), p=1)


# By name, one function per strength that builds the transform for images of a height and width.
CORRUPTIONS: Mapping[str, tuple[Make, ...]] = {
    "defocus": _by_strength((1.0, 1.5, 2.0, 3.0, 4.0), lambda sigma: A.GaussianBlur(0, (sigma, sigma), p=1)),
    "motion": _by_strength(
        (5, 9, 13, 17, 21), lambda length: A.MotionBlur((int(length),) * 2, allow_shifted=False, p=1)
    ),
    "noise": _by_strength((0.04, 0.08, 0.12, 0.18, 0.26), lambda std: A.GaussNoise((std, std), p=1)),
    "dark": _by_strength((0.5, 0.3, 0.2, 0.12, 0.07), lambda light: A.MultiplicativeNoise((light, light), p=1)),
    "bright": _by_strength((1.5, 2.0, 2.7, 3.6, 5.0), lambda light: A.MultiplicativeNoise((light, light), p=1)),
    "jpeg": _by_strength((40, 25, 15, 10, 5), lambda quality: A.ImageCompression("jpeg", (int(quality),) * 2, p=1)),
    "occlusion": tuple(_holes(side) for side in (10, 14, 18, 22, 26)),
    "rain": tuple(_rain(length) for length in (2, 4, 6, 9, 12)),
    "snow": tuple(_snow(*values) for values in ((0.1, 1.5), (0.2, 2.0), (0.3, 2.5), (0.4, 3.0), (0.5, 3.5))),
}


class Corruption:
    """One corruption at one strength; the same index gives the same result.

    Args:
        name: one of CORRUPTIONS.
        strength: one of STRENGTHS.
        shape: height and width of the images in pixels.
    """

    def __init__(self, name: str, strength: int, shape: tuple[int, int]) -> None:
        self._transform = A.Compose([CORRUPTIONS[name][strength - 1](shape)])

    def __call__(self, image: Pixels, index: int) -> Pixels:
        """Returns the corrupted image, uint8 [height, width, 3]; `index` is the random seed."""
        self._transform.set_random_seed(index)
        return np.asarray(self._transform(image=image)["image"], np.uint8)
