"""Augmentation of sign crops: what the same sign looks like from another car, on another day.

Nothing here flips: a mirrored "keep right" is another sign.
"""

import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version

import albumentations as A
import cv2

Augment = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]


def build_augmentation(seed: int) -> Augment:
    """Returns a function from a uint8 [h, w, 3] crop to an altered one of the same shape; it repeats by seed."""
    pipeline = A.Compose(
        [
            A.Affine(
                scale=(0.85, 1.15),
                translate_percent=(-0.08, 0.08),
                rotate=(-12, 12),
                shear=(-6, 6),
                border_mode=cv2.BORDER_REFLECT_101,
                p=0.9,
            ),
            A.Perspective(scale=(0.02, 0.08), border_mode=cv2.BORDER_REFLECT_101, p=0.3),
            A.RandomBrightnessContrast(brightness_limit=0.35, contrast_limit=0.35, p=0.7),
            A.RandomGamma(gamma_limit=(60, 150), p=0.3),
            A.HueSaturationValue(hue_shift_limit=6, sat_shift_limit=30, val_shift_limit=0, p=0.3),
            A.OneOf([A.MotionBlur(blur_limit=(3, 5)), A.GaussianBlur(blur_limit=(3, 5))], p=0.25),
            A.GaussNoise(std_range=(0.01, 0.06), p=0.25),
            A.ImageCompression(quality_range=(40, 95), p=0.2),
        ],
        seed=seed,
    )

    def augment(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        result: npt.NDArray[np.uint8] = pipeline(image=image)["image"]
        return result

    return augment
