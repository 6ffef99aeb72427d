"""Feeds the training loop: augmented batches, prepared by other processes while the network learns."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.augmentation import Augmentation
from training.data.crops import Crops

PREFETCH = 8  # batches a worker prepares ahead


class AugmentedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of augmented crops; number `step` is the same whoever makes it, and when.

    So any number of workers gives the same training, and one that was cut off goes on at any step.

    Args:
        crops: to draw from, with replacement.
        batch_size: crops a batch.
        balance: how far to even out the classes: 0 draws every crop equally often, 1 every class.
        seed: of the draw and of the augmentation.
        share: (rank, count) where several processes divide each batch among them.
    """

    def __init__(self, crops: Crops, batch_size: int, balance: float, seed: int, share: tuple[int, int] = (0, 1)):
        self._images, self._class_ids = crops.images, crops.class_ids
        self._batch_size, self._seed, self._share = batch_size, seed, share
        counts = np.bincount(crops.class_ids)
        weights = counts[crops.class_ids] ** -float(balance)
        self._cumulated = np.cumsum(weights / weights.sum())
        self._augment = Augmentation()

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns images, uint8 [n, size, size, 3], and class ids, int64 [n]."""
        rank, count = self._share
        rng = np.random.default_rng((self._seed, step))
        drawn = np.searchsorted(self._cumulated, rng.random(self._batch_size), side="right")
        indices = np.minimum(drawn, len(self._class_ids) - 1)[rank::count]
        self._augment.seed(int(rng.integers(2**31)) + 2 * rank)
        return torch.from_numpy(self._augment(self._images[indices])), torch.from_numpy(self._class_ids[indices])


def load_batches(
    batches: Dataset[tuple[Tensor, Tensor]], first: int, end: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Returns batches `first` to `end`, exclusive, in order; with 0 workers they are made in this process."""
    if first >= end:
        return iter(())
    loader = DataLoader(
        batches,
        batch_size=None,  # an item is a batch already
        sampler=range(first, end),
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _one_thread(worker: int) -> None:
    # OpenCV's own threads would take the cores from the network, and images this small gain nothing by them.
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
