"""Tests of the fixed corruptions."""

import numpy as np
import numpy.typing as npt
import pytest

from training.corruptions import CORRUPTIONS, STRENGTHS, Corruption
from training.data.synthetic_crops import draw_crops

SHAPE = (48, 48)


@pytest.fixture(scope="module")
def signs() -> npt.NDArray[np.uint8]:
    return draw_crops(12, 48, seed=5).images


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_strength_alters_more_than_the_one_before(name: str, signs: npt.NDArray[np.uint8]) -> None:
    distances = []
    for strength in STRENGTHS:
        corrupt = Corruption(name, strength, SHAPE)
        altered = np.stack([corrupt(sign, index) for index, sign in enumerate(signs)])
        assert altered.shape == signs.shape and altered.dtype == np.uint8
        distances.append(float(np.abs(altered.astype(float) - signs).mean()))

    assert distances[0] > 0.5
    assert distances == sorted(distances)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_picture_is_corrupted_the_same_way_each_time(name: str, signs: npt.NDArray[np.uint8]) -> None:
    first, second = Corruption(name, 3, SHAPE), Corruption(name, 3, SHAPE)
    before = signs.copy()

    ordered = [first(sign, index) for index, sign in enumerate(signs)]
    reversed_ = [second(signs[index], index) for index in reversed(range(len(signs)))]

    assert all(np.array_equal(a, b) for a, b in zip(ordered, reversed(reversed_), strict=True))
    assert np.array_equal(signs, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_scenes_of_any_shape_are_corrupted(name: str) -> None:
    scene = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)

    altered = Corruption(name, 5, (96, 160))(scene, 0)

    assert altered.shape == scene.shape and not np.array_equal(altered, scene)


def test_occlusion_hides_the_same_share_of_a_crop_and_of_a_scene() -> None:
    grey = np.full((480, 480, 3), 128, np.uint8)

    crop = Corruption("occlusion", 3, SHAPE)(grey[:48, :48], 0)
    scene = Corruption("occlusion", 3, (480, 480))(grey, 0)

    hidden = [float((picture != 128).any(axis=2).mean()) for picture in (crop, scene)]
    assert hidden[0] == pytest.approx((18 / 48) ** 2, abs=0.01)
    assert hidden[1] == pytest.approx(hidden[0], abs=0.03), "some holes overlap"
