"""Street scenes in memory: what the detector learns from and is judged on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data.images import no_signs, read_images
from training.data.records import Dataset, Sample, Split
from training.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scenes:
    """The labelled scenes of one split.

    They lie in memory decoded, 3.3 MB each for GTSDB: a crop is cut out of one 40 times in a training, and decoding
    a whole scene each time would cost more than learning from the crop.

    Attributes:
        images: of each scene, uint8 [height, width, 3], RGB.
        boxes: of each scene, float32 [signs, 4]: left, top, right and bottom in pixels, right and bottom exclusive.
        class_ids: of each scene, int64 [signs].
        names: of each scene.
        fingerprint: sha256 over names, boxes, classes and image bytes: equal data, equal fingerprint.
    """

    images: tuple[npt.NDArray[np.uint8], ...]
    boxes: tuple[npt.NDArray[np.float32], ...]
    class_ids: tuple[npt.NDArray[np.int64], ...]
    names: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: npt.NDArray[np.int64]) -> "Scenes":
        """Returns the scenes at `indices`; the fingerprint stays that of the whole."""
        chosen = indices.tolist()
        return Scenes(
            tuple(self.images[index] for index in chosen),
            tuple(self.boxes[index] for index in chosen),
            tuple(self.class_ids[index] for index in chosen),
            tuple(self.names[index] for index in chosen),
            self.fingerprint,
        )


def load_scenes(dataset: Dataset, split: Split, progress: Progress | None = None) -> Scenes:
    """Decodes the labelled scenes of a split; one without any sign is labelled, too.

    Args:
        dataset: where the scenes are.
        split: which part of it.
        progress: called with (scenes done, scenes in all).

    Raises:
        DataError: the split has no labelled signs, or an image is broken or a box lies outside it.
    """
    if not dataset.has_signs(split):
        raise no_signs(dataset, split)
    samples = [sample for sample in dataset.split(split) if sample.labelled]

    def read(sample: Sample, image: Image.Image) -> npt.NDArray[np.uint8]:
        pixels = np.array(image)
        _check_boxes(dataset, sample, pixels)
        return pixels

    images, fingerprint = read_images(dataset, samples, read, progress)
    return Scenes(
        images=tuple(images),
        boxes=tuple(
            np.array([(box.left, box.top, box.right, box.bottom) for box in sample.boxes], np.float32).reshape(-1, 4)
            for sample in samples
        ),
        class_ids=tuple(np.array([box.class_id for box in sample.boxes], np.int64) for sample in samples),
        names=tuple(sample.image for sample in samples),
        fingerprint=fingerprint,
    )


def _check_boxes(dataset: Dataset, sample: Sample, image: npt.NDArray[np.uint8]) -> None:
    height, width = image.shape[:2]
    for box in sample.boxes:
        if box.left >= width or box.top >= height or box.right <= 0 or box.bottom <= 0:
            raise DataError(
                f"{dataset.name}: {sample.image} has {width}x{height} pixels, and {box} lies outside: correct its label"
            )
