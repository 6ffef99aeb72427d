"""Tests of what stands behind drawn signs, of the styles they are made in and of the blur of a moving camera."""

import numpy as np
import pytest

from training.data.pictogram_frames import Style
from training.data.synthetic_ground import surroundings
from training.data.synthetic_sign import draw_sign, motion_kernel, random_style
from training.data.synthetic_street import Street, paint_street

EDGE = 40


@pytest.fixture(scope="module")
def streets() -> list[Street]:
    return [paint_street(np.random.default_rng(0), 480, 300)]


def _grounds(streets: list[Street], brightness: float, seeds: range) -> list[Street]:
    return [surroundings(streets, EDGE, brightness, np.random.default_rng(seed)) for seed in seeds]


def test_grounds_are_pictures_that_repeat(streets: list[Street]) -> None:
    once, again = (_grounds(streets, 60, range(20)) for _ in range(2))

    for one, other in zip(once, again, strict=True):
        assert one.image.shape == (EDGE, EDGE, 3) and one.image.dtype == np.uint8
        assert one.light.shape == (3,)
        assert np.array_equal(one.image, other.image)


def test_grounds_have_the_brightness_asked_for(streets: list[Street]) -> None:
    dark, bright = (
        np.mean([ground.image.mean() for ground in _grounds(streets, level, range(60))]) for level in (20, 120)
    )

    assert 14 < dark < 24
    assert 85 < bright < 130


def test_some_grounds_are_plain_and_others_full_of_colours(streets: list[Street]) -> None:
    contrasts = [
        float(np.abs(np.diff(ground.image.astype(int), axis=1)).mean()) for ground in _grounds(streets, 90, range(200))
    ]

    assert 10 <= sum(contrast < 1 for contrast in contrasts) <= 60
    assert sum(contrast > 8 for contrast in contrasts) >= 30


def test_streets_are_left_as_they_are(streets: list[Street]) -> None:
    before = streets[0].image.copy()
    _grounds(streets, 200, range(10))

    assert np.array_equal(streets[0].image, before)


def test_styles_repeat_and_reach_every_design() -> None:
    styles = [random_style(np.random.default_rng(seed)) for seed in range(300)]

    assert styles == [random_style(np.random.default_rng(seed)) for seed in range(300)]
    for count in (2, 3, 4, 5):
        assert {style.design % count for style in styles} == set(range(count))
    assert {style.edge == 0 for style in styles} == {True, False}
    assert len({style.paints["#C1121C"] for style in styles}) > 50


def test_signs_of_one_class_are_made_in_many_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Style] = []

    def noted(rng: np.random.Generator) -> Style:
        made.append(random_style(rng))
        return made[-1]

    monkeypatch.setattr("training.data.synthetic_sign.random_style", noted)
    rng = np.random.default_rng(3)
    for _ in range(12):
        draw_sign(16, rng, 40)

    assert {style.design % 3 for style in made} == {0, 1, 2}


@pytest.mark.parametrize("length", [1.0, 4.3, 9.0])
@pytest.mark.parametrize("rest", [0.0, 0.5, 1.0])
def test_motion_spreads_the_light_and_loses_none(length: float, rest: float) -> None:
    kernel = motion_kernel(length, 30, rest)

    assert kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-5)


def test_a_motion_that_rests_at_its_ends_shows_everything_twice() -> None:
    smeared, doubled = (motion_kernel(9, 0, rest)[4] for rest in (0.0, 1.0))

    assert smeared.max() < 0.2
    assert doubled[0] == doubled[-1] == pytest.approx(0.5, abs=0.2)
    assert doubled[2:-2].sum() == pytest.approx(0, abs=1e-6)
