"""Street scenes in memory, for training and evaluating the detector."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from traffic_signs.preprocessing import fit_scene
from training.data.images import Progress, no_signs, read_images, silent
from training.data.records import FEEDBACK, Dataset, Sample, Split
from training.errors import DataError


@dataclass(frozen=True)
class Scenes:
    """The labelled scenes of one split.

    They are decoded, 3.3 MB each for GTSDB: decoding a scene for each of its many crops would take longer than training
    on the crop.
    """

    images: tuple[npt.NDArray[np.uint8], ...]  # for each scene uint8 [height, width, 3], RGB
    # For each scene float32 [signs, 4]: left, top, right, bottom in pixels, the last two exclusive.
    boxes: tuple[npt.NDArray[np.float32], ...]
    class_ids: tuple[npt.NDArray[np.int64], ...]  # for each scene int64 [signs]
    names: tuple[str, ...]
    fingerprint: str  # sha256 over names, boxes, classes and image bytes
    classes: ClassSet = GERMAN_SIGNS  # with the category of each, which the detector learns

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sources(self) -> range:
        """The number of each scene: every scene is its own source."""
        return range(len(self))

    def select(self, indices: npt.NDArray[np.int64]) -> "Scenes":
        """Returns the scenes at `indices`, with the fingerprint of all scenes."""
        chosen = indices.tolist()
        return Scenes(
            tuple(self.images[index] for index in chosen),
            tuple(self.boxes[index] for index in chosen),
            tuple(self.class_ids[index] for index in chosen),
            tuple(self.names[index] for index in chosen),
            self.fingerprint,
            self.classes,
        )


def load_scenes(
    dataset: Dataset, split: Split, progress: Progress = silent, within: tuple[int, int] | None = None
) -> Scenes:
    """Decodes the labelled scenes of a split, including scenes that are labelled as empty.

    Scenes larger than `within`, height and width in pixels, are shrunk to fit, as in the recognizer. Raises DataError
    if the split has no labelled signs (feedback: no scene), an image is broken, or a box lies outside it.
    """
    samples = [sample for sample in dataset.split(split) if sample.labelled]
    # A benchmark without signs has lost its labels; feedback may consist of corrected false alarms only.
    if not (samples if dataset.kind == FEEDBACK else dataset.has_signs(split)):
        raise no_signs(dataset, split)

    def read(sample: Sample, image: Image.Image) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        _check_boxes(dataset, sample, image.size)
        boxes = np.array([(box.left, box.top, box.right, box.bottom) for box in sample.boxes], np.float32)
        boxes = boxes.reshape(-1, 4)  # also without boxes
        if within is None or (image.height <= within[0] and image.width <= within[1]):
            return np.array(image), boxes
        fitted = fit_scene(image, *within)
        width, height = fitted.content
        return fitted.pixels[:height, :width].copy(), (boxes * np.array(fitted.scale)).astype(np.float32)

    found, fingerprint = read_images(dataset, samples, read, progress)
    return Scenes(
        images=tuple(pixels for pixels, _ in found),
        boxes=tuple(boxes for _, boxes in found),
        class_ids=tuple(np.array([box.class_id for box in sample.boxes], np.int64) for sample in samples),
        names=tuple(sample.image for sample in samples),
        fingerprint=fingerprint,
        classes=dataset.classes,
    )


def join_scenes(parts: Sequence[Scenes]) -> Scenes:
    """Concatenates the scenes of several data sets."""
    if len(parts) == 1:
        return parts[0]
    return Scenes(
        images=tuple(image for part in parts for image in part.images),
        boxes=tuple(boxes for part in parts for boxes in part.boxes),
        class_ids=tuple(class_ids for part in parts for class_ids in part.class_ids),
        names=tuple(name for part in parts for name in part.names),
        fingerprint=hashlib.sha256("".join(part.fingerprint for part in parts).encode()).hexdigest(),
        classes=parts[0].classes,
    )


def _check_boxes(dataset: Dataset, sample: Sample, size: tuple[int, int]) -> None:
    width, height = size
    for box in sample.boxes:
        if box.left >= width or box.top >= height or box.right <= 0 or box.bottom <= 0:
            raise DataError(
                f"{dataset.name}: {sample.image} has {width}x{height} pixels, and {box} lies outside: correct its label"
            )
