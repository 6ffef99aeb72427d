"""Augmentation of sign crops: what the same sign looks like from another car, on another day.

Nothing here flips: a mirrored "keep right" is another sign.
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version

import albumentations as A
import cv2


def build_augmentation() -> A.Compose:
    """Returns the pipeline: `pipeline(image=crop)["image"]` alters a uint8 [h, w, 3] crop into one of that shape.

    It draws from a generator of its own; `pipeline.set_random_seed(seed)` makes it repeat. What is darker, smaller
    and more blurred than most crops is where classifiers of GTSRB fail, so the ranges reach far on that side.
    """
    border = cv2.BORDER_REFLECT_101
    smooth = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
    return A.Compose(
        [
            A.Affine(
                scale=(0.8, 1.2),
                translate_percent=(-0.1, 0.1),
                rotate=(-15, 15),
                shear=(-8, 8),
                border_mode=border,
                p=0.95,
            ),
            A.Perspective(scale=(0.03, 0.1), border_mode=border, p=0.2),
            # Relative to the crop's own mean: taking off what a bright crop can spare would leave a dark one black.
            A.RandomBrightnessContrast(
                brightness_limit=(-0.25, 0.5), contrast_limit=(-0.6, 0.6), brightness_by_max=False, p=0.75
            ),
            A.RandomGamma(gamma_limit=(50, 180), p=0.3),
            A.HueSaturationValue(hue_shift_limit=6, sat_shift_limit=35, val_shift_limit=0, p=0.2),
            A.OneOf(
                [
                    A.MotionBlur(blur_limit=(3, 7)),
                    A.GaussianBlur(blur_limit=(3, 7)),
                    A.Downscale(scale_range=(0.3, 0.75), interpolation_pair=smooth),
                ],
                p=0.35,
            ),
            A.GaussNoise(std_range=(0.01, 0.07), p=0.2),
            A.ImageCompression(quality_range=(35, 95), p=0.15),
            # Twigs, poles and stickers.
            A.CoarseDropout(
                num_holes_range=(1, 2),
                hole_height_range=(0.08, 0.3),
                hole_width_range=(0.08, 0.3),
                fill="random_uniform",
                p=0.2,
            ),
        ],
    )
