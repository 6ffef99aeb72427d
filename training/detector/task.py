"""The detector's training task: batches of augmented crops, and finding the signs of scenes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from traffic_signs.classes import GERMAN_SIGNS
from training.detector.augmentation import SceneAugmentation
from training.detector.detections import Detections
from training.detector.evaluate import evaluate_detections
from training.detector.loss import detection_loss
from training.detector.predict import read_maps, scene_maps
from training.detector.scenes import Scenes
from training.models.detector import Maps
from training.recipe import TrainingConfig

CROP_SIZE = 320  # pixels; the largest signs of GTSDB, enlarged, are 217
AIMED = 0.7  # share of the crops that contain a chosen sign; the others are at random places
CROPS_A_SCENE = 8  # per epoch
NO_SIGN = -2  # label that pads the rows of scenes with fewer signs


class SceneBatches(Dataset[tuple[Tensor, ...]]):
    """Batches of augmented crops. The content of batch `step` depends only on its number and the seed.

    Args:
        balance: 0 chooses every sign equally often, 1 every category.
        share: (rank, count) of the processes that divide each batch.
    """

    def __init__(self, scenes: Scenes, batch_size: int, balance: float, seed: int, share: tuple[int, int] = (0, 1)):
        self._scenes, self._batch_size, self._seed, self._share = scenes, batch_size, seed, share
        self._labels = [scenes.classes.labels(class_ids) for class_ids in scenes.class_ids]
        self._signs = [(scene, sign) for scene, labels in enumerate(self._labels) for sign in range(len(labels))]
        categories = np.concatenate(self._labels)
        weights = np.bincount(categories, minlength=len(scenes.classes.category_names))[categories] ** -float(balance)
        self._chances = weights / weights.sum()
        self._augment = SceneAugmentation(CROP_SIZE, mirror=scenes.classes == GERMAN_SIGNS)

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        """Returns images, boxes and labels.

        Images are uint8 [n, size, size, 3]; boxes float32 [n, most signs, 4] in pixels; labels int64 [n, most signs],
        category ids, -1 for a sign that is ignored and NO_SIGN for padding.
        """
        rank, count = self._share
        rng = np.random.default_rng((self._seed, step))
        aimed = rng.random(self._batch_size) < AIMED
        signs = rng.choice(len(self._signs), self._batch_size, p=self._chances)
        anywhere = rng.integers(len(self._scenes), size=self._batch_size)
        seeds = rng.integers(2**63, size=self._batch_size)
        crops = []
        for index in range(rank, self._batch_size, count):
            scene, target = self._signs[signs[index]] if aimed[index] else (int(anywhere[index]), None)
            crops.append(
                self._augment(
                    self._scenes.images[scene],
                    self._scenes.boxes[scene],
                    self._labels[scene],
                    target,
                    np.random.default_rng(seeds[index]),
                )
            )
        most = max(1, *(len(crop.labels) for crop in crops))
        boxes = np.zeros((len(crops), most, 4), np.float32)
        labels = np.full((len(crops), most), NO_SIGN, np.int64)
        for row, crop in enumerate(crops):
            boxes[row, : len(crop.labels)], labels[row, : len(crop.labels)] = crop.boxes, crop.labels
        images = np.stack([crop.image for crop in crops])
        return torch.from_numpy(images), torch.from_numpy(boxes), torch.from_numpy(labels)


class Detection:
    """A `training.train.Task`; its score is the overlap of boxes in training, and mAP50 on held-out scenes."""

    def __init__(self, scenes: Scenes, validation: Scenes | None = None) -> None:
        self._scenes, self._validation = scenes, validation
        self.examples, self.fingerprint = CROPS_A_SCENE * len(scenes), scenes.fingerprint
        self.has_validation = validation is not None

    def batches(self, config: TrainingConfig, share: tuple[int, int]) -> SceneBatches:
        """Returns batches of augmented crops and their signs."""
        return SceneBatches(self._scenes, config.batch_size, config.balance, config.seed, share)

    def loss(self, answer: Maps, wanted: Sequence[Tensor], config: TrainingConfig) -> tuple[Tensor, Tensor]:
        """Returns the loss and the mean overlap of the maps."""
        boxes, labels = wanted
        return detection_loss(answer, boxes, labels)

    def validate(self, model: nn.Module) -> tuple[float, float]:
        """Returns the mean loss and the mAP50 on the held-out scenes, of GTSDB's three categories or of all labels."""
        assert self._validation is not None
        truth = labelled(self._validation)
        images = self._validation.images
        found, losses = [], []
        for image, signs, maps in zip(images, truth, scene_maps(model, images), strict=True):
            found.append(read_maps(maps, image.shape[0], image.shape[1]))
            wanted = (torch.from_numpy(each).unsqueeze(0).to(maps.heat.device) for each in (signs.boxes, signs.labels))
            losses.append(detection_loss(maps, *wanted)[0].item())
        figures = evaluate_detections(truth, found, self._validation.classes.category_names).metrics()
        return float(np.mean(losses)), figures.get("map50_benchmark", figures["map50"])


def labelled(scenes: Scenes) -> list[Detections]:
    """Returns the labelled signs of scenes as detections; labels are category ids."""
    return [
        Detections(boxes, np.ones(len(boxes), np.float32), scenes.classes.labels(class_ids))
        for boxes, class_ids in zip(scenes.boxes, scenes.class_ids, strict=True)
    ]
