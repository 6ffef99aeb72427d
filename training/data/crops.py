"""Crops of signs, the classifier's training data, and of background, from the images of a data set."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.preprocessing import CROP_MARGIN, crop
from training.data.images import Progress, no_signs, read_images, silent
from training.data.records import Dataset, Sample, Split
from training.errors import DataError

# Of the background.
CROPS_A_SCENE = 10
MEDIAN_SIZE, SIZE_SPREAD, SMALLEST, LARGEST = 38.0, 0.5, 16.0, 128.0  # pixels; the distribution of GTSDB's signs
TRIES = 50


@dataclass(frozen=True)
class Crops:
    """Crops of the signs of one split."""

    images: npt.NDArray[np.uint8]  # uint8 [n, size, size, 3], RGB
    class_ids: npt.NDArray[np.int64]  # int64 [n]
    sources: tuple[str, ...]  # the track of each, or its image without tracks; one source is never in two folds
    fingerprint: str  # sha256 over names, boxes, classes and image bytes

    def __len__(self) -> int:
        return len(self.class_ids)

    def select(self, indices: npt.NDArray[np.int64]) -> "Crops":
        """Returns the crops at `indices`, with the fingerprint of all crops."""
        sources = tuple(self.sources[index] for index in indices)
        return Crops(self.images[indices], self.class_ids[indices], sources, self.fingerprint)


def cut_crops(dataset: Dataset, split: Split, size: int, progress: Progress = silent) -> Crops:
    """Decodes the images of a split that have signs, and crops the signs.

    A crop is a square of `size` pixels. `progress` counts images. Raises DataError if the split has no signs, an image
    is broken, or a box lies outside its image.
    """
    samples = [sample for sample in dataset.split(split) if sample.boxes]
    if not samples:
        raise no_signs(dataset, split)

    def cut(sample: Sample, image: Image.Image) -> list[npt.NDArray[np.uint8]]:
        return [crop(image, (box.left, box.top, box.right, box.bottom), size) for box in sample.boxes]

    images, fingerprint = read_images(dataset, samples, cut, progress)
    return Crops(
        images=np.stack([each for crops in images for each in crops]),
        class_ids=np.array([box.class_id for sample in samples for box in sample.boxes], dtype=np.int64),
        sources=tuple(sample.track or sample.image for sample in samples for _ in sample.boxes),
        fingerprint=fingerprint,
    )


def cut_background(
    dataset: Dataset, split: Split, size: int, seed: int, progress: Progress = silent
) -> npt.NDArray[np.uint8]:
    """Cuts CROPS_A_SCENE squares from each scene, of the sizes of signs, that touch no labelled sign.

    Signs of other classes are not labelled, so a few crops show one. Returns uint8 [n, size, size, 3]; raises DataError
    if the split has no labelled scene with room for such a square, or an image is broken.
    """
    samples = [sample for sample in dataset.split(split) if sample.labelled]
    numbers = {sample.image: number for number, sample in enumerate(samples)}

    def cut(sample: Sample, image: Image.Image) -> list[npt.NDArray[np.uint8]]:
        rng = np.random.default_rng((seed, numbers[sample.image]))
        boxes = [_free_box(sample, image.size, rng) for _ in range(CROPS_A_SCENE)]
        return [crop(image, box, size) for box in boxes if box is not None]

    images, _ = read_images(dataset, samples, cut, progress)
    crops = [each for of_scene in images for each in of_scene]
    if not crops:
        raise DataError(f"{dataset.name} has no labelled {split} scenes for background: give others, or another split")
    return np.stack(crops)


def _free_box(
    sample: Sample, picture: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float, float, float] | None:
    """Returns left, top, right and bottom of a random square; None if none was found.

    It touches no sign with the margin that `crop` adds.
    """
    for _ in range(TRIES):
        side = float(np.clip(MEDIAN_SIZE * np.exp(rng.normal(0, SIZE_SPREAD)), SMALLEST, LARGEST))
        side = min(side, *picture)
        left, top = rng.uniform(0, picture[0] - side), rng.uniform(0, picture[1] - side)
        right, bottom = left + side, top + side
        margin = CROP_MARGIN * side
        if not any(
            left - margin < box.right
            and box.left < right + margin
            and top - margin < box.bottom
            and box.top < bottom + margin
            for box in sample.boxes
        ):
            return left, top, right, bottom
    return None
