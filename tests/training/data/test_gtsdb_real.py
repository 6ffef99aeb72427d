"""Tests of the GTSDB reader on the real benchmark."""

from collections import Counter

import pytest

from tests.training.data.real_data import GTSDB, NEEDS_GTSDB
from training.data.crops import cut_crops
from training.data.gtsdb import load_gtsdb
from training.data.records import Dataset

pytestmark = NEEDS_GTSDB


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_gtsdb(GTSDB)


def test_scenes_and_boxes_are_as_many_as_published(dataset: Dataset) -> None:
    train, test = dataset.split("train"), dataset.split("test")

    assert (len(train), sum(len(sample.boxes) for sample in train)) == (600, 852)
    assert (len(test), sum(len(sample.boxes) for sample in test)) == (60, 72)


def test_signs_have_the_published_16_to_128_pixels_on_the_long_side(dataset: Dataset) -> None:
    boxes = [box for sample in dataset.samples for box in sample.boxes]
    sizes = [max(box.right - box.left, box.bottom - box.top) for box in boxes]

    # The benchmark counts last pixel minus first; both belong to the sign, so a box has one more.
    assert (min(sizes) - 1, max(sizes) - 1) == (16, 128)
    assert all(0 <= box.left < box.right <= 1360 and 0 <= box.top < box.bottom <= 800 for box in boxes)


def test_every_test_crop_decodes(dataset: Dataset) -> None:
    crops = cut_crops(dataset, "test", 48)

    assert crops.images.shape == (72, 48, 48, 3)
    assert (crops.images.reshape(72, -1).std(axis=1) > 2).all()  # none is a single colour
    expected = Counter(box.class_id for sample in dataset.split("test") for box in sample.boxes)
    assert Counter(crops.class_ids.tolist()) == expected
