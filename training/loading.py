"""Loads batches for the training loop, in worker processes if requested."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

PREFETCH = 8  # batches that each worker prepares in advance


def load_batches(
    batches: Dataset[tuple[Tensor, ...]], first: int, end: int, workers: int, pinned: bool = False
) -> Iterator[tuple[Tensor, ...]]:
    """Returns batches in order. The workers live until the last batch of the training, over all epochs.

    Batch `end` is not included. Without workers, this process prepares the batches. A GPU copies from pinned memory
    while it computes.
    """
    if first >= end:
        return iter(())
    loader = DataLoader(
        batches,
        batch_size=None,  # an item is a batch already
        sampler=range(first, end),
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        pin_memory=pinned,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _one_thread(worker: int) -> None:
    # OpenCV's threads would compete with the network and do not help for small images.
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
