"""Tests of the preparation of batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.classifier.task import AugmentedBatches
from training.data.crops import Crops
from training.loading import load_batches


def _batches(crops: Crops, seed: int = 0, balance: float = 0.5, share: tuple[int, int] = (0, 1)) -> AugmentedBatches:
    return AugmentedBatches(crops, 8, balance, seed, share)


def _equal(first: tuple[torch.Tensor, ...], second: tuple[torch.Tensor, ...]) -> bool:
    return torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_a_batch_is_augmented_crops_and_their_classes(coloured_crops: Crops) -> None:
    images, labels = _batches(coloured_crops)[0]

    assert (images.shape, images.dtype) == ((8, 24, 24, 3), torch.uint8)
    assert (labels.shape, labels.dtype) == ((8,), torch.int64)
    originals = {image.tobytes() for image in coloured_crops.images}
    assert not all(image.numpy().tobytes() in originals for image in images)


def test_a_batch_depends_on_its_number_and_the_seed_alone(coloured_crops: Crops) -> None:
    batches = _batches(coloured_crops)
    later = batches[7]
    for step in (3, 1, 5):
        batches[step]

    assert _equal(batches[7], later)
    assert _equal(_batches(coloured_crops)[7], later)
    assert not _equal(batches[8], later)
    assert not _equal(_batches(coloured_crops, seed=1)[7], later)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_give_the_batches_in_order(coloured_crops: Crops, workers: int) -> None:
    batches = _batches(coloured_crops)

    loaded = list(load_batches(batches, 2, 9, workers))

    assert len(loaded) == 7
    assert all(_equal(batch, batches[step]) for step, batch in enumerate(loaded, start=2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_gpu_fetches_its_batches_from_pinned_memory(coloured_crops: Crops, workers: int) -> None:
    loaded = list(load_batches(_batches(coloured_crops), 0, 3, workers, pinned=True))

    assert all(tensor.is_pinned() for batch in loaded for tensor in batch)


def test_nothing_is_loaded_behind_the_end(coloured_crops: Crops) -> None:
    assert list(load_batches(_batches(coloured_crops), 5, 5, 1)) == []


def test_processes_divide_the_crops_of_a_batch(coloured_crops: Crops) -> None:
    whole = _batches(coloured_crops)[3][1]
    shares = [_batches(coloured_crops, share=(rank, 3))[3][1] for rank in range(3)]

    assert [len(share) for share in shares] == [3, 3, 2]
    assert all(torch.equal(share, whole[rank::3]) for rank, share in enumerate(shares))


@pytest.mark.parametrize(("balance", "expected"), [(0.0, 0.75), (1.0, 0.5)])
def test_balance_evens_out_the_classes(coloured_crops: Crops, balance: float, expected: float) -> None:
    uneven = replace(coloured_crops, class_ids=np.repeat([1, 12], (36, 12)))
    batches = _batches(uneven, balance=balance)

    drawn = torch.cat([batches[step][1] for step in range(100)])

    assert (drawn == 1).double().mean().item() == pytest.approx(expected, abs=0.06)
