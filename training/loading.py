"""Feeds the training loop: batches, prepared by other processes where that pays."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

PREFETCH = 8  # batches a worker prepares ahead


def load_batches(
    batches: Dataset[tuple[Tensor, ...]], first: int, end: int, workers: int
) -> Iterator[tuple[Tensor, ...]]:
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
