"""The statistics of the gate against numbers that can be worked out by hand."""

import math

import numpy as np
import pytest

from export.gate.statistics import (
    Estimate,
    Ranked,
    chance_of_loss,
    estimate_precision,
    holm,
    mean_average_precision,
    precision_fall,
    quantile,
    quantile_ratio,
)


@pytest.mark.parametrize(
    ("lost", "won", "chance"),
    [(0, 0, 1.0), (0, 5, 1.0), (5, 0, 1 / 32), (8, 2, 56 / 1024), (1, 1, 3 / 4), (10, 0, 2**-10)],
)
def test_the_exact_test_counts_what_a_fair_coin_would_do(lost: int, won: int, chance: float) -> None:
    assert chance_of_loss(lost, won) == chance


def test_the_exact_test_takes_whole_test_sets() -> None:
    # As many lost as won, of an even number: half of the rest, and the middle itself.
    middle = math.comb(12_000, 6_000) / 2**12_000
    assert chance_of_loss(6_000, 6_000) == pytest.approx((1 + middle) / 2)
    assert chance_of_loss(12_000, 0) == 0.0  # smaller than any float


def test_the_test_refuses_an_equal_challenger_no_more_often_than_it_says() -> None:
    random = np.random.default_rng(1)
    lost = random.binomial(40, 0.5, 2000)
    refused = np.mean([chance_of_loss(each, 40 - each) < 0.05 for each in lost.tolist()])
    assert 0.01 < refused <= 0.06


def test_holm_multiplies_by_the_tests_that_are_left_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, and never less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def noise(seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Latencies of a quiet machine, 3 ms with a few of 20."""
    random = np.random.default_rng(seed)
    return 3 + random.exponential(0.3, 400) + 17 * (random.random(400) < 0.02)


def test_equal_latencies_have_a_ratio_around_one() -> None:
    for which in (0.5, 0.99):
        ratio = quantile_ratio(noise(1), noise(2), which, 0.95)
        assert ratio.lower < 1.1 and ratio.upper > 0.9
        assert ratio.lower <= ratio.value <= ratio.upper


def test_a_slow_half_of_the_measurement_slows_both() -> None:
    busy = np.where(np.arange(400) < 200, 5.0, 1.0)
    ratio = quantile_ratio(noise(1) * busy, noise(2) * busy, 0.5, 0.95)
    assert 0.8 < ratio.lower <= ratio.upper < 1.25


def test_twice_the_latency_is_seen_at_the_median() -> None:
    assert quantile_ratio(2 * noise(1), noise(2), 0.5, 0.95).lower > 1.8


def test_a_quantile_lies_within_its_bounds() -> None:
    estimate = quantile(noise(1), 0.99, 0.95)
    assert 3 < estimate.lower <= estimate.value <= estimate.upper < 30


def ranked(*detections: tuple[float, bool, int, int]) -> Ranked:
    """Detections as score, right or not, label, scene."""
    scores, is_right, labels, scenes = (np.array(column) for column in zip(*detections, strict=True))
    return Ranked(scores, is_right, labels, scenes)


def test_average_precision_is_the_area_below_the_staircase() -> None:
    signs = np.array([[1, 1], [1, 0]])
    found = ranked((0.9, True, 0, 0), (0.8, False, 0, 1), (0.7, True, 0, 1), (0.6, True, 1, 0))
    # Of label 0: half of the recall at precision 1, the other half at 2/3; of label 1 all.
    assert mean_average_precision(found, signs) == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    twice = mean_average_precision(found, signs, np.array([0, 2]))
    assert twice == pytest.approx(1 / 2), "the first scene does not count: one wrong before one right"
    assert math.isnan(mean_average_precision(found, np.zeros((2, 2), np.int64)))


def test_a_fall_of_precision_is_sure_where_all_scenes_show_it() -> None:
    signs = np.ones((30, 1), np.int64)
    good = ranked(*((0.9, True, 0, scene) for scene in range(30)))
    bad = ranked(*((0.9, scene % 2 == 0, 0, scene) for scene in range(30)))
    assert precision_fall(good, good, signs, 0.95) == type(precision_fall(good, good, signs, 0.95))(0.0, 0.0, 0.0)
    fall = precision_fall(good, bad, signs, 0.95)
    assert 0 < fall.lower < fall.value < fall.upper


def test_average_precision_is_as_sure_as_its_scenes_agree() -> None:
    signs = np.stack([np.ones(30, np.int64), np.zeros(30, np.int64)], axis=1)
    found = ranked(*((0.9, scene % 5 > 0, 0, scene) for scene in range(30)), (0.95, False, 1, 0))
    estimate = estimate_precision(found, signs, 0.975)
    assert estimate.value == mean_average_precision(found, signs) == pytest.approx(0.64, abs=0.02)
    assert 0.35 < estimate.lower < estimate.value < estimate.upper < 0.95
    assert estimate_precision(ranked((0.9, True, 0, 0)), np.ones((1, 1), np.int64), 0.975) == Estimate(1.0, 1.0, 1.0)
