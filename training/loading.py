"""Feeds the training loop: batches, prepared by other processes where that pays."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

PREFETCH = 8  # batches a worker prepares ahead


def load_batches(
    batches: Dataset[tuple[Tensor, ...]], first: int, end: int, workers: int, pinned: bool = False
) -> Iterator[tuple[Tensor, ...]]:
    """Returns batches in order. The workers live until the last one, over all epochs of a training.

    Args:
        batches: by their number.
        first: number of the first batch.
        end: number after the last one.
        workers: processes that make them; with 0 they are made in this one.
        pinned: put them into page-locked memory, from which a GPU fetches them while it computes.
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
    # OpenCV's own threads would take the cores from the network, and images this small gain nothing by them.
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
