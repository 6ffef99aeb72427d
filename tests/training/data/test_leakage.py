"""Tests of the search for training tracks that show test signs."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.training.data.textured import texture
from training.data import leakage
from training.data.crops import Crops
from training.data.leakage import Leakage, leaked_tracks

Images = npt.NDArray[np.uint8]


def crops(images: list[Images], class_ids: list[int], sources: list[str] | None = None) -> Crops:
    names = sources or [f"track {number}" for number in range(len(images))]
    return Crops(np.stack(images), np.array(class_ids, dtype=np.int64), tuple(names), "drawn")


def found(result: Leakage) -> list[tuple[int, int]]:
    return [(repeat.train, repeat.test) for repeat in result.repeats]


def brighter_jpeg(image: Images) -> Images:
    buffer = io.BytesIO()
    Image.fromarray((image * 0.9 + 20).astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return np.asarray(Image.open(buffer))


def test_brightened_and_reencoded_crop_is_a_repeat() -> None:
    train = crops([texture(1, 48), texture(2, 48)], [5, 5])

    result = leaked_tracks(train, crops([texture(3, 48), brighter_jpeg(texture(2, 48))], [5, 5]))

    assert result.tracks == ("track 1",)
    assert found(result) == [(1, 1)]
    assert 0.98 < result.repeats[0].correlation < 1


def test_crop_whose_box_is_a_pixel_off_is_a_repeat() -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 196, (3, 3, 3), dtype=np.uint8)).resize((49, 49), Image.Resampling.BICUBIC)
    large = np.asarray(smooth) + rng.integers(0, 60, (49, 49, 3), dtype=np.uint8)
    first, second = large[:48, :48], large[1:, 1:]

    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.98  # at full size it would be missed
    assert found(leaked_tracks(crops([first], [5]), crops([second], [5]))) == [(0, 0)]


def test_same_picture_under_another_class_is_none() -> None:
    assert leaked_tracks(crops([texture(1, 48)], [5]), crops([texture(1, 48)], [6])) == Leakage((), ())


def test_another_colour_of_the_same_grey_is_none() -> None:
    pale = texture(1, 48)

    assert leaked_tracks(crops([pale], [5]), crops([pale[..., [1, 2, 0]]], [5])).tracks == ()


def test_each_track_and_test_crop_gives_its_best_pair_the_most_alike_first() -> None:
    sign, other = texture(1, 48), texture(2, 48)
    mixed = [(sign * (1 - share) + other * share).astype(np.uint8) for share in (0.1, 0.05, 0.02)]
    train = crops([mixed[0], other, mixed[2], mixed[1]], [5, 5, 5, 5], ["b", "b", "b", "a"])

    result = leaked_tracks(train, crops([texture(3, 48), sign], [5, 5]), 0.9)

    assert result.tracks == ("a", "b")
    assert found(result) == [(2, 1), (3, 1)]


def test_threshold_decides() -> None:
    sign, other = texture(1, 48), texture(2, 48)
    train = crops([sign], [5])
    test = crops([(sign * 0.8 + other * 0.2).astype(np.uint8)], [5])
    (repeat,) = leaked_tracks(train, test, -1.0).repeats

    assert 0.5 < repeat.correlation < 0.999
    assert len(leaked_tracks(train, test, repeat.correlation - 0.001).repeats) == 1
    assert len(leaked_tracks(train, test, repeat.correlation + 0.001).repeats) == 0


def test_crops_of_one_colour_are_like_nothing() -> None:
    flat = np.full((48, 48, 3), 90, np.uint8)

    assert leaked_tracks(crops([flat], [5]), crops([flat], [5]), 0.5).tracks == ()


def test_result_does_not_depend_on_the_size_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [texture(seed, 48) for seed in range(9)]
    class_ids = [0, 1, 2] * 3
    train, test = crops(images, class_ids), crops(images[::-1], class_ids[::-1])
    whole = leaked_tracks(train, test)
    monkeypatch.setattr(leakage, "BLOCK", 2)

    assert sorted(found(whole)) == [(index, 8 - index) for index in range(9)]
    assert leaked_tracks(train, test).tracks == whole.tracks
    assert sorted(found(leaked_tracks(train, test))) == sorted(found(whole))


@pytest.mark.parametrize("side", [24, 50])
def test_crops_may_have_any_size(side: int) -> None:
    train = crops([texture(1, side), texture(2, side)], [5, 5])

    assert found(leaked_tracks(train, crops([texture(2, side)], [5]))) == [(1, 0)]
