"""Crops of street scenes as another camera might have taken them: nearer or farther, mirrored, in another light."""

from dataclasses import dataclass

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

SCALES = (0.6, 1.7)  # pixels of a crop for one of the scene
STRETCH = 1.1  # at most, of the one side against the other
EMPTY = 127  # beyond the edge of the scene
WHOLE = 0.8  # a sign of which this share or more is inside the crop is to be found by what is seen of it
GLIMPSE = 0.1  # one of which less is seen is no sign any more; between the two, nobody asks
# GTSDB has no sign that the next two touch; photographs that people send have.
LARGEST = 0.8  # of the crop's side: a larger sign that a crop is cut around is shown from farther away
SMALLEST = 8.0  # pixels on the long side; of a smaller sign nobody asks either


@dataclass(frozen=True)
class SceneCrop:
    """A part of a scene.

    Attributes:
        image: uint8 [size, size, 3], RGB.
        boxes: float32 [n, 4], pixels of the crop; may reach beyond its edges.
        labels: int64 [n], category ids; -1 where a sign is cut off so far that the answer does not matter.
    """

    image: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


class SceneAugmentation:
    """Cuts altered crops out of scenes; all it does follows from the generators it is given.

    A mirrored sign is another sign, but of the same category of GTSDB and at the same place.

    Args:
        size: side of a crop in pixels.
        mirror: whether half of the crops are mirrored; not where labels tell left from right.
    """

    def __init__(self, size: int, mirror: bool = True) -> None:
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
            image: a scene, uint8 [height, width, 3].
            boxes: of its signs, float32 [n, 4].
            labels: of its signs, int64 [n].
            target: which of them is to lie inside the crop; None takes any place of the scene.
            rng: for all that is drawn.
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
        """Returns the left top corner of the window, x and y in pixels of the scene."""
        extent = np.array((image.shape[1], image.shape[0]), np.float64)
        low, high = np.minimum(0, extent - window), np.maximum(0, extent - window)
        if box is not None:
            # Anywhere the whole sign is inside, and near the edge of the scene a little beyond it: signs at the edge
            # would otherwise only be learned at the edge of a crop.
            low, high = np.maximum(low - 0.1 * window, box[2:] - window), np.minimum(high + 0.1 * window, box[:2])
            low, high = np.minimum(low, high), np.maximum(low, high)
        return rng.uniform(low, high)

    def _cut(
        self, image: npt.NDArray[np.uint8], corner: npt.NDArray[np.float64], zoom: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.uint8]:
        # Pixel centres: x of the scene is shown at zoom * (x + 0.5 - corner) - 0.5.
        shift = zoom * (0.5 - corner) - 0.5
        matrix = np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]])
        if zoom.min() < 1:
            # What is shrunk without being smoothed first shows patterns that no camera does.
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
        # What fills much of the crop may be little of a huge sign, and is no background all the same.
        kept = (share > GLIMPSE) | (seen > GLIMPSE * self._size**2)
        asked = (share >= WHOLE) & ((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= SMALLEST)
        return inside[kept], np.where(asked, labels, -1)[kept]
