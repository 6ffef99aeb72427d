"""Batches of augmented crops for the classifier's training."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.classifier.augmentation import Augmentation
from training.data.crops import Crops


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
