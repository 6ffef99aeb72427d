"""Real images in the shape of a network's input: to prove parity on, to calibrate int8 and to judge what it costs."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.detection_parity import MOST_SCENES
from export.errors import ExportError
from export.parity import Images
from traffic_signs.classes import GERMAN_SIGNS
from traffic_signs.preprocessing import decode, fit_scene
from traffic_signs.progress import ProgressCallback, silent
from training.checkpoint import CheckpointInfo
from training.data.crops import cut_crops
from training.data.load import load_data
from training.data.records import FEEDBACK, Dataset
from training.detector.detections import Detections
from training.detector.scenes import Scenes, load_scenes
from training.detector.task import labelled
from training.models import detector

# Training images that int8 takes its ranges from: twice as many crops moved no figure by more than its error.
CALIBRATION_CROPS, CALIBRATION_SCENES = 512, 32


@dataclass(frozen=True)
class Labels:
    """What makes it possible to calibrate a network and to judge what a lower precision costs.

    Attributes:
        truth: of the test images that parity is proved on: class ids, int64 [n], or the signs of each scene.
        calibration: uint8 [m, height, width, 3], training images.
        data: name of the data set.
        names: of the labels, by id.
    """

    truth: npt.NDArray[np.int64] | tuple[Detections, ...]
    calibration: Images
    data: str
    names: tuple[str, ...] = GERMAN_SIGNS.category_names


def real_samples(info: CheckpointInfo, data: str) -> Images:
    """Returns test images of a data set: all sign crops for a classifier, the first scenes for a detector.

    Args:
        info: of the checkpoint whose input they fit.
        data: of one data set, as `training.data.load.load_data` takes it; empty for none.

    Returns:
        uint8 [n, height, width, 3].

    Raises:
        ExportError: the data set has no scenes.
        training.errors.DataError: it cannot be read.
    """
    if not data:
        return np.empty((0, *info.input_size, 3), np.uint8)
    dataset = load_data(data)
    if info.model != detector.MODEL_NAME:
        return cut_crops(dataset, "test", info.input_size[0]).images
    _require_scenes(dataset)
    scenes = []
    for sample in itertools.islice(dataset.split("test"), MOST_SCENES):
        scenes.append(fit_scene(decode(dataset.read(sample)), *info.input_size).pixels)
    return np.stack(scenes)


def labelled_samples(info: CheckpointInfo, data: str, progress: ProgressCallback = silent) -> tuple[Images, Labels]:
    """Returns all labelled test images of a data set, their labels, and training images to calibrate with.

    Args:
        info: of the checkpoint whose input they fit.
        data: of one data set, as `training.data.load.load_data` takes it.
        progress: shows how much is read.

    Returns:
        uint8 [n, height, width, 3], and what is known of them.

    Raises:
        ExportError: the data set has no scenes, or the network tells other classes apart than those of the labels.
        training.errors.DataError: it cannot be read, or a split has no labelled signs.
    """
    dataset = load_data(data)
    classes = dataset.classes
    known = classes.category_names if info.model == detector.MODEL_NAME else classes.names
    if tuple(info.class_names) != tuple(known):
        raise ExportError(
            f"the checkpoint tells {len(info.class_names)} other classes apart than the labels of {dataset.name}: what "
            "a lower precision costs cannot be measured on them"
        )

    reading_test, reading_training = (
        lambda done, total, what=what: progress(f"reading {what} images", done, total) for what in ("test", "training")
    )
    if info.model == detector.MODEL_NAME:
        _require_scenes(dataset)
        images, truth = _fitted(load_scenes(dataset, "test", reading_test), info)
        calibration, _ = _fitted(load_scenes(_some(dataset, CALIBRATION_SCENES), "train", reading_training), info)
        return images, Labels(truth, calibration, dataset.name, known)
    size = info.input_size[0]
    crops = cut_crops(dataset, "test", size, reading_test)
    calibration = cut_crops(_some(dataset, CALIBRATION_CROPS), "train", size, reading_training).images
    return crops.images, Labels(crops.class_ids, calibration[:CALIBRATION_CROPS], dataset.name, known)


def _require_scenes(dataset: Dataset) -> None:
    if not dataset.has_scenes or dataset.kind == FEEDBACK:
        raise ExportError(
            f"{dataset.name} has no street scenes: prove a detector on gtsdb=PATH, coco=PATH or yolo=PATH"
        )


def _some(dataset: Dataset, count: int) -> Dataset:
    """Returns the data set with so many of its training images that have signs, drawn the same way each time."""
    samples = [sample for sample in dataset.split("train") if sample.boxes]
    chosen = np.random.default_rng(0).permutation(len(samples))[:count]
    return replace(dataset, samples=tuple(samples[index] for index in chosen))


def _fitted(scenes: Scenes, info: CheckpointInfo) -> tuple[Images, tuple[Detections, ...]]:
    """Returns scenes as the detector takes them, and where their signs then are."""
    fitted = [fit_scene(Image.fromarray(pixels), *info.input_size) for pixels in scenes.images]
    truth = [
        replace(signs, boxes=(signs.boxes * np.array(scene.scale)).astype(np.float32))
        for scene, signs in zip(fitted, labelled(scenes), strict=True)
    ]
    return np.stack([scene.pixels for scene in fitted]), tuple(truth)
