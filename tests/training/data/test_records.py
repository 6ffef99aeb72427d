"""Tests of the record types."""

from dataclasses import FrozenInstanceError

import pytest

from training.data.records import Box, Dataset, Sample


def test_split_keeps_order_and_only_its_own_samples() -> None:
    samples = tuple(Sample(f"{number}.jpg", "test" if number % 3 == 0 else "train", ()) for number in range(7))
    dataset = Dataset("drawn", samples, read=lambda sample: sample.image.encode())

    assert [sample.image for sample in dataset.split("test")] == ["0.jpg", "3.jpg", "6.jpg"]
    assert [sample.image for sample in dataset.split("train")] == ["1.jpg", "2.jpg", "4.jpg", "5.jpg"]


def test_records_cannot_be_changed() -> None:
    box = Box(1, 2, 3, 4, 5)

    with pytest.raises(FrozenInstanceError):
        box.left = 0  # type: ignore[misc]
