"""Tests of temperature scaling and the calibration error."""

import numpy as np
import numpy.typing as npt
import pytest

from training.classifier.calibration import (
    BINS,
    LIMIT,
    MIN_CROPS_FOR_THRESHOLD,
    fit_temperature,
    fit_unknown_threshold,
    reliability,
)


def _honest_logits(count: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns logits of 5 classes and labels drawn from their softmax: temperature 1 is right by construction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 5)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return logits, labels


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_temperature_undoes_logits_that_are_too_small_or_too_large(factor: float) -> None:
    logits, labels = _honest_logits(20_000)

    temperature = fit_temperature(factor * logits, labels)

    assert temperature == pytest.approx(factor, rel=0.05)
    before = reliability(_softmax(factor * logits), labels).expected_calibration_error
    after = reliability(_softmax(factor * logits / temperature), labels).expected_calibration_error
    assert after < 0.02
    assert after <= before + 0.001


@pytest.mark.parametrize("count", [10, 50, 1000])
def test_sample_without_a_mistake_is_believed_as_far_as_it_is_large(count: int) -> None:
    logits = 4 * np.eye(5, dtype=np.float32)[np.arange(count) % 5]

    temperature = fit_temperature(logits, np.arange(count) % 5)

    assert _softmax(logits / temperature).max(axis=1) == pytest.approx((count + 1) / (count + 2), abs=1e-4)


def test_temperature_stays_within_bounds() -> None:
    logits = np.eye(5, dtype=np.float32)[np.arange(50) % 5]

    assert fit_temperature(0.01 * logits, np.arange(50) % 5) == pytest.approx(1 / LIMIT)
    assert fit_temperature(10 * logits, (np.arange(50) + 1) % 5) == pytest.approx(LIMIT)


@pytest.mark.parametrize("count", [1, MIN_CROPS_FOR_THRESHOLD - 1, MIN_CROPS_FOR_THRESHOLD, 199, 200, 1000, 3210])
def test_unknown_threshold_costs_known_signs_half_a_percent_at_most(count: int) -> None:
    scores = np.random.default_rng(count).uniform(0.5, 1, count).astype(np.float32)
    probabilities = np.stack([scores, 1 - scores], axis=1)

    threshold = fit_unknown_threshold(probabilities)

    lost = int((scores < threshold).sum())
    assert (threshold > 0) == (count >= MIN_CROPS_FOR_THRESHOLD)
    assert lost <= 0.005 * count
    assert int((scores < threshold + 2e-4).sum()) >= int(0.005 * (count + 1)), "it is no lower than it has to be"


@pytest.mark.parametrize(("count", "expected"), [(20, 1 / 21), (199, 0.005), (397, 1 / 398), (1380, 6 / 1381)])
def test_unknown_threshold_costs_as_much_of_new_signs(count: int, expected: float) -> None:
    def cost(seed: int) -> float:
        scores = np.random.default_rng(seed).uniform(0, 1, count)
        return fit_unknown_threshold(np.stack([scores, 0 * scores], axis=1))

    costs = [cost(seed) for seed in range(500)]

    assert np.mean(costs) == pytest.approx(expected, abs=4 * np.std(costs) / len(costs) ** 0.5 + 1e-4)


def test_calibration_error_of_a_hand_made_example() -> None:
    # four predictions that are 0.9 sure and half right, one that is 0.6 sure and right
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]], dtype=np.float32)

    table = reliability(probabilities, np.array([0, 0, 1, 1, 1]))

    assert table.expected_calibration_error == pytest.approx((4 * 0.4 + 1 * 0.4) / 5)
    filled = np.flatnonzero(table.counts)
    assert table.counts.sum() == 5
    assert table.accuracy[filled].tolist() == [1.0, 0.5]
    assert np.allclose(table.confidence[filled], [0.6, 0.9])
    assert np.isnan(table.accuracy[np.flatnonzero(table.counts == 0)]).all()


def test_whole_confidence_falls_into_the_last_bin() -> None:
    table = reliability(np.eye(3, dtype=np.float32), np.arange(3))

    assert table.counts.tolist() == [0] * (BINS - 1) + [3]
    assert table.expected_calibration_error == 0
