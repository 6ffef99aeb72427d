"""The classifier's training task: batches of augmented crops, and predicting the class of each crop."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from training.classifier.augmentation import Augmentation
from training.data.crops import Crops
from training.models.classifier import predict_logits
from training.recipe import TrainingConfig


class AugmentedBatches(Dataset[tuple[Tensor, ...]]):
    """Batches of augmented crops. The content of batch `step` depends only on its number and the seed.

    Therefore the number of workers does not change the training, and a training can resume at any step.

    Args:
        crops: crops to sample from, with replacement.
        balance: 0 samples every crop equally often, 1 every class.
        share: (rank, count) of the processes that divide each batch.
    """

    def __init__(self, crops: Crops, batch_size: int, balance: float, seed: int, share: tuple[int, int] = (0, 1)):
        self._images, self._class_ids = crops.images, crops.class_ids
        self._batch_size, self._seed, self._share = batch_size, seed, share
        counts = np.bincount(crops.class_ids)
        weights = counts[crops.class_ids] ** -float(balance)
        self._cumulated = np.cumsum(weights / weights.sum())
        self._augment = Augmentation(batch_size)

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        """Returns images, uint8 [n, size, size, 3], and class ids, int64 [n]."""
        rank, count = self._share
        rng = np.random.default_rng((self._seed, step))
        drawn = np.searchsorted(self._cumulated, rng.random(self._batch_size), side="right")
        indices = np.minimum(drawn, len(self._class_ids) - 1)[rank::count]
        self._augment.seed(int(rng.integers(2**31)) + 2 * rank)
        return torch.from_numpy(self._augment(self._images[indices])), torch.from_numpy(self._class_ids[indices])


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
