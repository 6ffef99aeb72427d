"""Augmentation of sign crops: geometry, light, blur, noise and occlusion.

Crops are never mirrored: a mirrored "keep right" is another sign.
"""

import math
import random

import cv2
import numpy as np
import numpy.typing as npt

# Consecutive crops share the parameters of light, blur and noise: at least 4, and in a large batch so many that it
# has 64 sets of parameters. Drawing parameters is nearly all of the cost on small crops, and over the epochs each crop
# still gets many different ones.
GROUP, LIGHTS = 4, 64

# Factor of the ranges of geometry, blur and occlusion. In trials of this network with like augmentation written in
# PyTorch, 1.0 gave 41 mistakes on 15,719 held-out photographs of GTSRB after 45 epochs, 1.3 gave 31, and 1.6, with
# another blur, 38. The ranges of light, from nearly black to washed out, are not scaled.
STRENGTH = 1.3


class Augmentation:
    """Augments batches of crops; the result depends only on the last `seed`.

    `batch_size` is the number of crops of a batch, over all processes that share it.
    """

    def __init__(self, batch_size: int = 1) -> None:
        import albumentations as A  # takes half a second, for which only a training should wait

        self._group = max(GROUP, batch_size // LIGHTS)
        blur, cover = round(7 * STRENGTH), 0.3 * STRENGTH  # pixels; shares of the crop's sides
        smooth = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
        self._random = random.Random()
        # Classifiers of GTSRB fail on dark, small and blurred signs: the ranges are wide on that side.
        self._light = A.Compose(
            [
                # Relative to the crop's own mean: an absolute change would turn a dark crop black.
                A.RandomBrightnessContrast(
                    brightness_limit=(-0.25, 0.5), contrast_limit=(-0.6, 0.6), brightness_by_max=False, p=0.75
                ),
                A.RandomGamma(gamma_limit=(50, 180), p=0.3),
                A.HueSaturationValue(hue_shift_limit=6, sat_shift_limit=35, val_shift_limit=0, p=0.3),
                A.OneOf(
                    [
                        A.MotionBlur(blur_limit=(3, blur)),
                        A.GaussianBlur(blur_limit=(3, blur)),
                        A.Downscale(scale_range=(0.3, 0.75), interpolation_pair=smooth),
                    ],
                    p=0.4,
                ),
                A.GaussNoise(std_range=(0.01, 0.07), p=0.3),
                A.ImageCompression(quality_range=(35, 95), p=0.15),
                A.OneOf(
                    [
                        A.CoarseDropout(  # twigs and stickers
                            num_holes_range=(1, 2),
                            hole_height_range=(0.08, cover),
                            hole_width_range=(0.08, cover),
                            fill="random_uniform",
                        ),
                        A.CoarseDropout(  # poles
                            num_holes_range=(1, 1),
                            hole_height_range=(0.9, 1.0),  # as long as a pole can be
                            hole_width_range=(0.08, cover),
                            fill="random_uniform",
                        ),
                    ],
                    p=0.3,
                ),
            ]
        )

    def seed(self, seed: int) -> None:
        """Seeds all random choices that follow."""
        self._random.seed(seed)
        self._light.set_random_seed(seed + 1)

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Augments crops, uint8 [n, h, w, 3]; returns the same shape."""
        warped = np.stack([self._warp(image) for image in images])
        groups = (warped[start : start + self._group] for start in range(0, len(warped), self._group))
        return np.concatenate([self._light(images=group)["images"] for group in groups])

    def _warp(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Scales, stretches, turns, shears, shifts and tilts one crop, uint8 [h, w, 3], in one interpolation.

        It takes a quarter of the time of albumentations' Affine and Perspective, which resample twice. Pixels from
        outside the edges are reflected.
        """
        height, width = image.shape[:2]
        matrix = self._draw_matrix(height, width)
        warped = cv2.warpPerspective(
            image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(warped, np.uint8)

    def _draw_matrix(self, height: int, width: int) -> npt.NDArray[np.float64]:
        """Draws the 3x3 matrix that maps pixels of the crop to pixels of the result."""

        def draw(reach: float) -> float:
            return self._random.uniform(-reach, reach) * STRENGTH

        angle, shear, scale, stretch = math.radians(draw(15)), draw(0.14), 1 + draw(0.2), 1 + draw(0.1)
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        turned = np.array(
            [
                [cosine, shear * cosine - stretch * sine, 0],
                [sine, shear * sine + stretch * cosine, 0],
                [draw(0.15) / width, draw(0.15) / height, 1],
            ]
        )
        x, y = (width - 1) / 2, (height - 1) / 2
        to_centre = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        back = np.array([[1, 0, x + draw(0.1) * width], [0, 1, y + draw(0.1) * height], [0, 0, 1]])
        return np.asarray(back @ turned @ to_centre, np.float64)
