"""Sign crops: what the classifier learns from, cut out of the images of a data set."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.records import Dataset, Sample, Split
from training.data.threads import map_in_threads
from training.errors import DataError
from training.preprocessing import ImageError, crop, decode

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Crops:
    """Signs cut out of the samples of one split.

    Attributes:
        images: uint8 [n, size, size, 3], RGB.
        class_ids: int64 [n].
        sources: the track that each crop belongs to, or where there is none the image it was cut from: crops
            with one source never stand in different folds.
        fingerprint: sha256 over names, boxes, classes and image bytes: equal data, equal fingerprint.
    """

    images: npt.NDArray[np.uint8]
    class_ids: npt.NDArray[np.int64]
    sources: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.class_ids)

    def select(self, indices: npt.NDArray[np.int64]) -> "Crops":
        """Returns the crops at `indices`; the fingerprint stays that of the whole."""
        sources = tuple(self.sources[index] for index in indices)
        return Crops(self.images[indices], self.class_ids[indices], sources, self.fingerprint)


def cut_crops(dataset: Dataset, split: Split, size: int, progress: Progress | None = None) -> Crops:
    """Decodes every image of a split that has signs, once, and cuts its signs out.

    Args:
        dataset: where the images are.
        split: which part of it.
        size: side of a crop in pixels.
        progress: called with (images done, images in all).

    Raises:
        DataError: the split has no signs, or an image is broken or a box lies outside it.
    """
    samples = [sample for sample in dataset.split(split) if sample.boxes]
    if not samples:
        raise DataError(
            f"{dataset.name} has no labelled signs in its {split} split: give the whole benchmark "
            "(GTSDB's training scenes are 00000 to 00599, its test scenes 00600 to 00899)"
        )
    images: list[npt.NDArray[np.uint8]] = []
    digest = hashlib.sha256()
    for done, (sample, crops, image_digest) in enumerate(_cut_all(dataset, samples, size), start=1):
        images.extend(crops)
        digest.update(f"{sample.image.rsplit('/', 1)[-1]} {sample.split} {sample.boxes}".encode())
        digest.update(image_digest)
        if progress is not None:
            progress(done, len(samples))
    return Crops(
        images=np.stack(images),
        class_ids=np.array([box.class_id for sample in samples for box in sample.boxes], dtype=np.int64),
        sources=tuple(sample.track or sample.image for sample in samples for _ in sample.boxes),
        fingerprint=digest.hexdigest(),
    )


def _cut_all(
    dataset: Dataset, samples: Sequence[Sample], size: int
) -> Iterator[tuple[Sample, list[npt.NDArray[np.uint8]], bytes]]:
    def cut(sample: Sample) -> tuple[Sample, list[npt.NDArray[np.uint8]], bytes]:
        data = dataset.read(sample)
        try:
            image = decode(data)
            crops = [crop(image, (box.left, box.top, box.right, box.bottom), size) for box in sample.boxes]
        except ImageError as error:
            raise DataError(
                f"{dataset.name}: {sample.image} cannot be used: {error}. Restore the file, or remove it "
                "from the labels"
            ) from error
        return sample, crops, hashlib.sha256(data).digest()

    return map_in_threads(cut, samples)
