"""The classifier's training task: predict the class of each crop."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.classifier.loading import AugmentedBatches
from training.data.crops import Crops
from training.models.classifier import predict_logits
from training.recipe import TrainingConfig


class Classification:
    """A `training.train.Task`; its score is the accuracy."""

    def __init__(self, crops: Crops, validation: Crops | None = None) -> None:
        self._crops, self._validation = crops, validation
        self.examples, self.fingerprint = len(crops), crops.fingerprint
        self.has_validation = validation is not None

    def batches(self, config: TrainingConfig, share: tuple[int, int]) -> AugmentedBatches:
        """Returns batches of augmented crops and their class ids."""
        return AugmentedBatches(self._crops, config.batch_size, config.balance, config.seed, share)

    def loss(self, answer: Tensor, wanted: Sequence[Tensor], config: TrainingConfig) -> tuple[Tensor, Tensor]:
        """Returns the cross-entropy of logits [n, classes] with class ids [n], and the accuracy."""
        (labels,) = wanted
        logits = answer.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        return loss, (logits.argmax(dim=1) == labels).double().mean()

    def validate(self, model: nn.Module) -> tuple[float, float]:
        """Returns cross-entropy and accuracy on the validation crops."""
        assert self._validation is not None
        labels = torch.from_numpy(self._validation.class_ids)
        logits = predict_logits(model, torch.from_numpy(self._validation.images))
        accuracy = (logits.argmax(dim=1) == labels).double().mean()
        return F.cross_entropy(logits, labels).item(), accuracy.item()
