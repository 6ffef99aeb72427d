"""The detector's training task: find the signs of scenes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from training.detector.detections import Detections
from training.detector.evaluate import evaluate_detections
from training.detector.loading import SceneBatches
from training.detector.loss import detection_loss
from training.detector.predict import read_maps, scene_maps
from training.detector.scenes import Scenes
from training.models.detector import Maps
from training.recipe import TrainingConfig

CROPS_A_SCENE = 8  # per epoch


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
