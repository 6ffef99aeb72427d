"""Augmentation of street scenes: random crops with another scale, stretch and light, half of them mirrored."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

SCALES = (0.6, 1.7)  # zoom: pixels of a crop per pixel of the scene
STRETCH = 1.1  # largest change of the aspect ratio
EMPTY = 127  # grey value beyond the edge of the scene
WHOLE = 0.8  # a sign with at least this share inside the crop is a target, with the visible part as its box
GLIMPSE = 0.1  # a sign with less inside the crop is background; between the two it is ignored
# The next two affect no sign of GTSDB, but signs in users' photographs.
LARGEST = 0.8  # share of the crop's side; the zoom is reduced for a larger target
SMALLEST = 8.0  # pixels on the long side; smaller signs are ignored, too


@dataclass(frozen=True)
class SceneCrop:
    """An augmented part of a scene."""

    image: npt.NDArray[np.uint8]  # uint8 [size, size, 3], RGB
    boxes: npt.NDArray[np.float32]  # float32 [n, 4], in pixels of the crop; they may reach beyond its edges
    labels: npt.NDArray[np.int64]  # int64 [n], category ids; -1 for a sign that is ignored


class SceneAugmentation:
    """Cuts augmented crops, `size` pixels wide, from scenes; the result depends only on the given random generator.

    A mirrored sign is another sign, but has the same category of GTSDB. With `mirror`, half of the crops are mirrored:
    set it to False if labels distinguish left from right.
    """

    def __init__(self, size: int, mirror: bool = True) -> None:
        import albumentations as A  # takes half a second, for which only a training should wait

        self._size, self._mirror = size, mirror
        smooth = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
        self._light = A.Compose(
            [
                A.RandomBrightnessContrast(
                    brightness_limit=(-0.1, 0.4), contrast_limit=(-0.6, 0.6), brightness_by_max=False, p=0.75
                ),
                A.RandomGamma(gamma_limit=(50, 180), p=0.3),
                A.HueSaturationValue(hue_shift_limit=5, sat_shift_limit=35, val_shift_limit=0, p=0.25),
                A.OneOf(
                    [
                        A.MotionBlur(blur_limit=(3, 5)),
                        A.GaussianBlur(blur_limit=(3, 5)),
                        A.Downscale(scale_range=(0.5, 0.8), interpolation_pair=smooth),
                    ],
                    p=0.15,
                ),
                A.GaussNoise(std_range=(0.01, 0.05), p=0.1),
                A.ImageCompression(quality_range=(40, 95), p=0.15),
            ]
        )

    def __call__(
        self,
        image: npt.NDArray[np.uint8],
        boxes: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        target: int | None,
        rng: np.random.Generator,
    ) -> SceneCrop:
        """Cuts one crop.

        Args:
            image: the scene, uint8 [height, width, 3].
            boxes: boxes of its signs, float32 [n, 4].
            labels: labels of its signs, int64 [n].
            target: index of the sign that must lie inside the crop; None takes any place of the scene.
        """
        scale = float(np.exp(rng.uniform(*np.log(SCALES))))
        if target is not None:
            scale = min(scale, LARGEST * self._size / float((boxes[target, 2:] - boxes[target, :2]).max()))
        stretch = float(np.exp(rng.uniform(-np.log(STRETCH), np.log(STRETCH)) / 2))
        zoom = np.array((scale * stretch, scale / stretch))
        window = self._size / zoom  # in pixels of the scene
        corner = self._place(image, None if target is None else boxes[target], window, rng)
        crop = self._cut(image, corner, zoom)
        moved = ((boxes.reshape(-1, 2, 2) - corner) * zoom).reshape(-1, 4)
        if rng.random() < 0.5 and self._mirror:
            crop = crop[:, ::-1]
            moved[:, [0, 2]] = self._size - moved[:, [2, 0]]
        self._light.set_random_seed(int(rng.integers(2**31)))
        light = self._light(image=np.ascontiguousarray(crop))["image"]
        kept, labels = self._visible(moved, labels)
        return SceneCrop(light, kept.astype(np.float32), labels)

    def _place(
        self,
        image: npt.NDArray[np.uint8],
        box: npt.NDArray[np.float32] | None,
        window: npt.NDArray[np.float64],
        rng: np.random.Generator,
    ) -> npt.NDArray[np.float64]:
        """Returns the top left corner of the window, x and y in pixels of the scene."""
        extent = np.array((image.shape[1], image.shape[0]), np.float64)
        low, high = np.minimum(0, extent - window), np.maximum(0, extent - window)
        if box is not None:
            # Any place with the whole sign inside. Near the edge of the scene the window may reach beyond it, or signs
            # at the edge would always be at the edge of a crop.
            low, high = np.maximum(low - 0.1 * window, box[2:] - window), np.minimum(high + 0.1 * window, box[:2])
            low, high = np.minimum(low, high), np.maximum(low, high)
        return rng.uniform(low, high)

    def _cut(
        self, image: npt.NDArray[np.uint8], corner: npt.NDArray[np.float64], zoom: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.uint8]:
        # Pixel centres: x of the scene maps to zoom * (x + 0.5 - corner) - 0.5.
        shift = zoom * (0.5 - corner) - 0.5
        matrix = np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]])
        if zoom.min() < 1:
            # Smooth before shrinking, to avoid aliasing.
            first, last = np.floor(corner).astype(int) - 4, np.ceil(corner + self._size / zoom).astype(int) + 4
            left, top = np.maximum(first, 0)
            right, bottom = np.minimum(last, (image.shape[1], image.shape[0]))
            if right > left and bottom > top:
                sigma = 0.5 * np.sqrt(np.maximum(1 / zoom**2 - 1, 0)) + 1e-3
                part = image[top:bottom, left:right]
                image = np.asarray(cv2.GaussianBlur(part, (0, 0), sigma[0], sigmaY=sigma[1]), np.uint8)
                matrix[:, 2] += zoom * (left, top)
        warped = cv2.warpAffine(
            image,
            matrix,
            (self._size, self._size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(EMPTY, EMPTY, EMPTY),
        )
        return np.asarray(warped, np.uint8)

    def _visible(
        self, boxes: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        inside = boxes.clip(0, self._size)
        area, seen = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, inside))
        share = seen / np.maximum(area, 1e-9)
        # A small part of a huge sign can fill much of the crop; it is not background.
        kept = (share > GLIMPSE) | (seen > GLIMPSE * self._size**2)
        asked = (share >= WHOLE) & ((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= SMALLEST)
        return inside[kept], np.where(asked, labels, -1)[kept]
