"""Tests of crops without signs, and of drawings of signs that are none of the 43."""

import numpy as np
import pytest

from tests.training.tiny_gtsdb import TinyGtsdb
from traffic_signs.classes import NUM_CLASSES
from traffic_signs.preprocessing import CROP_MARGIN
from training.data.crops import CROPS_A_SCENE, _free_box, cut_background
from training.data.load import load_data
from training.data.pictograms import OTHER_SIGNS, render
from training.data.records import Box, Sample
from training.data.synthetic_crops import draw_others
from training.errors import DataError


def test_background_repeats_and_has_the_size_asked_for(gtsdb: TinyGtsdb) -> None:
    dataset = load_data(f"gtsdb={gtsdb.folder}")

    first, second = (cut_background(dataset, "train", 24, 1) for _ in range(2))

    assert first.shape[1:] == (24, 24, 3) and first.dtype == np.uint8
    assert 0 < len(first) <= CROPS_A_SCENE * len(dataset.split("train"))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, cut_background(dataset, "train", 24, 2)[: len(first)])


def test_background_touches_no_sign() -> None:
    sign = Box(40, 30, 160, 90, 14)
    sample = Sample("a", "train", (sign,))
    rng = np.random.default_rng(0)

    for _ in range(100):
        box = _free_box(sample, (200, 120), rng)
        if box is not None:
            left, top, right, bottom = box
            assert 0 <= left < right <= 200 and 0 <= top < bottom <= 120
            margin = CROP_MARGIN * (right - left) - 1e-9  # which the crop shows, too
            assert (
                right + margin <= sign.left
                or sign.right <= left - margin
                or bottom + margin <= sign.top
                or sign.bottom <= top - margin
            )


def test_background_comes_from_labelled_scenes_only(gtsdb: TinyGtsdb) -> None:
    labels = gtsdb.folder / "gt.txt"
    labels.write_text("".join(line for line in labels.read_text().splitlines(True) if line < "00600"))
    dataset = load_data(f"gtsdb={gtsdb.folder}")

    assert len(cut_background(dataset, "train", 24, 1)) and dataset.split("test")
    with pytest.raises(DataError, match="no labelled test scenes for background"):
        cut_background(dataset, "test", 24, 1)


def test_a_scene_full_of_sign_has_no_background() -> None:
    sample = Sample("a", "train", (Box(0, 0, 200, 120, 14),))

    assert _free_box(sample, (200, 120), np.random.default_rng(0)) is None


def test_other_signs_look_like_none_of_the_43() -> None:
    known = np.stack([render(class_id, 32).astype(float) for class_id in range(NUM_CLASSES)])

    for name in OTHER_SIGNS:
        distances = np.abs(known - render(name, 32)).mean(axis=(1, 2, 3))
        assert distances.min() > 3, (name, int(distances.argmin()))


def test_other_signs_are_drawn_as_crops_that_repeat() -> None:
    crops = draw_others(30, 24, seed=0)

    assert crops.shape == (30, 24, 24, 3) and crops.dtype == np.uint8
    assert np.array_equal(crops, draw_others(30, 24, seed=0))


def test_a_sign_that_nobody_draws_is_an_error() -> None:
    with pytest.raises(ValueError, match="no traffic sign"):
        render("no such sign", 32)
