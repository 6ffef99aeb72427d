"""Tests of the crops that the detector learns from."""

import numpy as np
import numpy.typing as npt
import pytest

from training.detector.augmentation import SCALES, SceneAugmentation, SceneCrop

SIZE = 96
RED = (250, 20, 20)


def _scene(boxes: list[tuple[int, int, int, int]]) -> npt.NDArray[np.uint8]:
    scene = np.full((200, 300, 3), 120, np.uint8)
    for left, top, right, bottom in boxes:
        scene[top:bottom, left:right] = RED
    return scene


def _crops(boxes: list[tuple[int, int, int, int]], target: int | None, count: int = 60) -> list[SceneCrop]:
    augment = SceneAugmentation(SIZE)
    scene, shaped = _scene(boxes), np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.arange(len(boxes), dtype=np.int64)
    return [augment(scene, shaped, labels, target, np.random.default_rng(seed)) for seed in range(count)]


def _redness(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    colours = image.astype(np.float64)
    redness: npt.NDArray[np.float64] = colours[..., 0] - colours[..., 1:].mean(axis=2)
    return redness


def test_boxes_lie_where_the_signs_are_seen() -> None:
    for crop in _crops([(140, 80, 170, 105)], target=0):
        assert crop.image.shape == (SIZE, SIZE, 3) and crop.image.dtype == np.uint8
        red = _redness(crop.image)
        ((left, top, right, bottom),) = crop.boxes
        rows, columns = np.nonzero(red > red.max() / 2)
        assert abs(columns.min() - left) < 2.5 and abs(columns.max() + 1 - right) < 2.5
        assert abs(rows.min() - top) < 2.5 and abs(rows.max() + 1 - bottom) < 2.5


def test_the_target_is_always_whole_and_at_every_place_and_scale() -> None:
    crops = _crops([(140, 80, 170, 110)], target=0, count=200)

    assert all(crop.labels.tolist() == [0] for crop in crops)
    widths = np.array([crop.boxes[0, 2] - crop.boxes[0, 0] for crop in crops])
    lefts = np.array([crop.boxes[0, 0] for crop in crops])
    assert widths.min() < 30 * SCALES[0] * 1.2 and widths.max() > 30 * SCALES[1] * 0.8
    assert lefts.min() < 10 and lefts.max() > SIZE - 40


def test_a_sign_at_the_edge_of_the_scene_is_still_whole() -> None:
    for crop in _crops([(0, 0, 24, 24)], target=0):
        assert crop.labels.tolist() == [0]
        assert _redness(crop.image).max() > 60


def test_what_lies_beyond_the_scene_is_grey() -> None:
    augment = SceneAugmentation(SIZE)
    small = np.full((20, 20, 3), 250, np.uint8)

    crop = augment(small, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None, np.random.default_rng(0))

    assert len(crop.boxes) == 0
    assert np.median(crop.image) < 200


def test_signs_cut_off_by_the_crop_do_not_matter_and_those_outside_are_gone() -> None:
    boxes = [
        (100 + 40 * column, 60 + 40 * row, 130 + 40 * column, 90 + 40 * row) for column in range(4) for row in range(3)
    ]
    seen = {-1: 0, 0: 0}
    for crop in _crops(boxes, target=5):
        assert 5 in crop.labels
        for box, label in zip(crop.boxes, crop.labels, strict=True):
            assert (box >= 0).all() and (box <= SIZE).all() and (box[2:] > box[:2]).all()
            seen[min(int(label), 0)] += 1
        assert len(crop.labels) < len(boxes) or crop.boxes.max() <= SIZE
    assert seen[-1] > 10 and seen[0] > 60


@pytest.fixture
def huge() -> list[SceneCrop]:
    """Returns crops around a sign larger than any of them, and anywhere."""
    return [*_crops([(40, 10, 240, 190)], target=0), *_crops([(40, 10, 240, 190)], target=None)]


def test_a_sign_larger_than_the_crop_is_seen_whole_from_farther_away(huge: list[SceneCrop]) -> None:
    for crop in huge[:60]:
        assert crop.labels.tolist() == [0]
        sides = crop.boxes[0, 2:] - crop.boxes[0, :2]
        assert SIZE * 0.6 < sides.max() < SIZE * 0.9
        assert _redness(crop.image).max() > 60


def test_what_lies_inside_a_huge_sign_is_not_taken_for_background(huge: list[SceneCrop]) -> None:
    assert any((_redness(crop.image) > 60).mean() > 0.95 for crop in huge[60:])
    for crop in huge[60:]:
        if (_redness(crop.image) > 60).mean() > 0.3:
            assert crop.labels.tolist() == [-1]


def test_a_sign_of_a_few_pixels_does_not_matter() -> None:
    for crop in _crops([(140, 80, 144, 84), (150, 80, 180, 110)], target=0):
        assert crop.labels[0] == -1


@pytest.mark.parametrize("target", [0, None])
def test_the_same_generator_gives_the_same_crop(target: int | None) -> None:
    first, second = _crops([(140, 80, 170, 110)], target, 5), _crops([(140, 80, 170, 110)], target, 5)

    for one, other in zip(first, second, strict=True):
        assert (one.image == other.image).all() and (one.boxes == other.boxes).all()
    assert not (first[0].image == first[1].image).all()


def test_shrinking_makes_no_patterns() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    augment = SceneAugmentation(SIZE)
    smallest = []
    for seed in range(40):
        crop = augment(stripes, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None, np.random.default_rng(seed))
        smallest.append(float(crop.image.astype(float).std()))
    assert min(smallest) < 25  # unsmoothed stripes would keep a deviation near 100
