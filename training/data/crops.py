"""Crops of signs from the images of a data set, the classifier's training data."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.preprocessing import crop
from training.data.images import Progress, no_signs, read_images, silent
from training.data.records import Dataset, Sample, Split


@dataclass(frozen=True)
class Crops:
    """Crops of the signs of one split.

    Attributes:
        images: uint8 [n, size, size, 3], RGB.
        class_ids: int64 [n].
        sources: the track of each crop, or its image if there are no tracks. Crops with the same source are never in
            different folds.
        fingerprint: sha256 over names, boxes, classes and image bytes.
    """

    images: npt.NDArray[np.uint8]
    class_ids: npt.NDArray[np.int64]
    sources: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.class_ids)

    def select(self, indices: npt.NDArray[np.int64]) -> "Crops":
        """Returns the crops at `indices`, with the fingerprint of all crops."""
        sources = tuple(self.sources[index] for index in indices)
        return Crops(self.images[indices], self.class_ids[indices], sources, self.fingerprint)


def cut_crops(dataset: Dataset, split: Split, size: int, progress: Progress = silent) -> Crops:
    """Decodes the images of a split that have signs, and crops the signs.

    A crop is a square of `size` pixels. `progress` counts images.

    Raises:
        DataError: the split has no signs, an image is broken, or a box lies outside its image.
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
