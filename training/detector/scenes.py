"""Street scenes in memory: what the detector learns from and is judged on."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from traffic_signs.preprocessing import fit_scene
from training.data.images import no_signs, read_images
from training.data.records import FEEDBACK, Dataset, Sample, Split
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
        classes: what the class ids mean, and the category of each, which is what the detector tells apart.
    """

    images: tuple[npt.NDArray[np.uint8], ...]
    boxes: tuple[npt.NDArray[np.float32], ...]
    class_ids: tuple[npt.NDArray[np.int64], ...]
    names: tuple[str, ...]
    fingerprint: str
    classes: ClassSet = GERMAN_SIGNS

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
            self.classes,
        )


def load_scenes(
    dataset: Dataset, split: Split, progress: Progress | None = None, within: tuple[int, int] | None = None
) -> Scenes:
    """Decodes the labelled scenes of a split; one without any sign is labelled, too.

    Args:
        dataset: where the scenes are.
        split: which part of it.
        progress: called with (scenes done, scenes in all).
        within: height and width in pixels; a larger scene is shrunk to fit, as the recognizer does before it looks
            for signs. None keeps all as they are.

    Raises:
        DataError: the split has no labelled signs, or of feedback not one scene; or an image is broken, or a box lies
            outside it.
    """
    samples = [sample for sample in dataset.split(split) if sample.labelled]
    # A benchmark without any sign has lost its labels; people may well have corrected nothing but false alarms.
    if not (samples if dataset.kind == FEEDBACK else dataset.has_signs(split)):
        raise no_signs(dataset, split)

    def read(sample: Sample, image: Image.Image) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        _check_boxes(dataset, sample, image.size)
        boxes = np.array([(box.left, box.top, box.right, box.bottom) for box in sample.boxes], np.float32)
        boxes = boxes.reshape(-1, 4)  # of none, too
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
    """Returns the scenes of several data sets as one, in order."""
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
