"""The statistics behind the drift watch: on cases done by hand, against scipy, and on many samples without drift."""

import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency, fisher_exact

from monitoring.drift.statistics import PRIOR, design_effect, group_buckets, grouped, p_value, psi


def counts(*values: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.array(values, np.float64)


def test_psi_by_hand() -> None:
    # With a half added to each: 20.5/101, 80.5/101 before and 50.5/101, 50.5/101 after.
    expected = (30 / 101) * math.log(50.5 / 20.5) + (-30 / 101) * math.log(50.5 / 80.5)
    assert psi(counts(20, 80), counts(50, 50)) == pytest.approx(expected)
    assert expected == pytest.approx(0.406, abs=1e-3), "a major change, as the customary thresholds have it"


def test_psi_is_nothing_for_equal_shares_and_the_same_both_ways() -> None:
    assert psi(counts(10, 20, 30), counts(10, 20, 30)) == 0
    assert psi(counts(1000, 3000), counts(10000, 30000)) == pytest.approx(0, abs=1e-6)
    assert psi(counts(5, 95), counts(60, 40)) == pytest.approx(psi(counts(60, 40), counts(5, 95)))


def test_psi_of_an_empty_group_is_finite_and_grows_with_the_sample() -> None:
    few, many = (psi(counts(n, n), counts(0, 2 * n)) for n in (10, 10000))
    assert 0 < few < many < 0.6 * math.log(1 + 20000 / PRIOR)


@pytest.mark.parametrize("window", [(30, 25, 45), (5, 60, 35), (300, 200, 500), (7.5, 31.25, 60.0)])
def test_p_value_is_that_of_scipy(window: tuple[float, ...]) -> None:
    reference = counts(25, 30, 45)
    expected = chi2_contingency(np.stack([reference, counts(*window)]), correction=False).pvalue
    assert p_value(reference, counts(*window)) == pytest.approx(expected, rel=1e-9)


def test_two_groups_of_which_one_is_nearly_empty_are_tested_exactly() -> None:
    assert p_value(counts(59, 1), counts(45, 5)) == fisher_exact([[59, 1], [45, 5]]).pvalue
    expected = chi2_contingency([[59, 1], [50, 50]], correction=False).pvalue
    assert p_value(counts(59, 1), counts(50, 50)) == pytest.approx(expected, rel=1e-9), "here both have many"


def test_groups_that_nobody_is_in_say_nothing() -> None:
    assert p_value(counts(10, 0, 10), counts(10, 0, 10)) == 1
    assert p_value(counts(10, 0), counts(20, 0)) == 1
    assert p_value(counts(10, 10), counts(0, 0)) == 1


@pytest.mark.parametrize(
    ("buckets", "groups"),
    [
        ((0, 2, 8, 50, 40, 0), (0, 0, 0, 1, 2, 2)),
        ((10, 10, 10, 10, 10, 10, 10, 10, 10, 10), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
        ((45, 50, 5), (0, 1, 1)),  # what is left over at the end joins its neighbour
        ((1, 97, 2), (0, 1, 0)),  # all but a few in one bucket: that one against all others
        ((0, 0, 60, 0), (0, 0, 1, 0)),
        ((60, 0, 0), (1, 0, 0)),
        ((30, 30), (0, 1)),
    ],
)
def test_buckets_are_joined_until_each_group_has_a_tenth(buckets: tuple[int, ...], groups: tuple[int, ...]) -> None:
    found = group_buckets(counts(*buckets))
    assert tuple(found) == groups
    assert grouped(counts(*buckets), found).sum() == sum(buckets)


def test_signs_that_stand_together_count_as_fewer() -> None:
    rng = np.random.default_rng(0)
    alone = rng.multinomial(1, [0.2, 0.3, 0.5], 2000).astype(np.float64)
    assert design_effect(alone) == pytest.approx(1, abs=0.01)
    assert design_effect(4 * alone) == pytest.approx(4, abs=0.02), "four signs of one kind count as much as one"
    mixed = rng.multinomial(4, [0.2, 0.3, 0.5], 2000).astype(np.float64)
    assert design_effect(mixed) == pytest.approx(1, abs=0.1), "four signs of any kind count as much as four"
    assert design_effect(np.zeros((10, 3))) == 1


@pytest.mark.parametrize("window", [50, 200, 2000])
def test_without_drift_the_test_alarms_as_rarely_as_it_promises(window: int) -> None:
    rng = np.random.default_rng(1)
    shares = [0.1, 0.12, 0.15, 0.18, 0.2, 0.25]
    pairs = zip(rng.multinomial(60, shares, 4000), rng.multinomial(window, shares, 4000), strict=True)
    values = np.array([p_value(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs])
    for alpha in (0.1, 0.01):
        # Three standard deviations above what is promised.
        assert (values < alpha).mean() < alpha + 3 * math.sqrt(alpha / 4000)
    assert (values < 0.1).mean() > 0.07, "nor is it blind"


def test_clustered_signs_alarm_only_where_they_are_taken_for_single_ones() -> None:
    rng = np.random.default_rng(2)
    raw, corrected = [], []
    for _ in range(1000):
        reference, window = (5 * rng.multinomial(1, [0.2, 0.3, 0.5], 60).astype(np.float64) for _ in range(2))
        effect = design_effect(reference)
        sums = reference.sum(axis=0), window.sum(axis=0)
        raw.append(p_value(*sums))
        corrected.append(p_value(sums[0] / effect, sums[1] / effect))
    assert np.mean(np.array(raw) < 0.01) > 0.2
    assert np.mean(np.array(corrected) < 0.01) < 0.02
