"""Tests of precision and recall by threshold."""

import numpy as np
import pytest

from training.detector.curves import Curve, OperatingPoint, trace_curve


def _curve(*ranked: tuple[float, bool], signs: int) -> Curve:
    scores = np.array([score for score, _ in ranked], dtype=np.float32)
    return trace_curve(scores, np.array([right for _, right in ranked], dtype=bool), signs)


def test_detections_are_counted_by_falling_score_whatever_their_order() -> None:
    curve = _curve((0.25, True), (0.75, True), (0.5, False), signs=4)

    assert curve.thresholds.tolist() == [0.75, 0.5, 0.25]
    assert (curve.hits.tolist(), curve.detections.tolist()) == ([1, 1, 2], [1, 2, 3])
    assert curve.recall.tolist() == [0.25, 0.25, 0.5]


def test_the_envelope_is_the_best_precision_from_there_on() -> None:
    curve = _curve((0.9, False), (0.8, True), (0.7, True), (0.6, False), signs=2)

    assert curve.envelope == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1 / 2])
    assert curve.area == pytest.approx(2 / 3)


def test_detections_of_one_score_are_one_point() -> None:
    curve = _curve((0.5, True), (0.5, False), signs=1)

    assert (curve.thresholds.tolist(), curve.hits.tolist(), curve.detections.tolist()) == ([0.5], [1], [2])
    assert curve.area == 0.5


def test_the_best_point_lies_halfway_to_the_next_score() -> None:
    best = _curve((0.75, True), (0.5, True), (0.25, False), signs=2).best()

    assert best == OperatingPoint(0.375, hits=2, misses=0, false_alarms=0)


def test_below_the_lowest_score_halfway_is_to_nought() -> None:
    assert _curve((0.75, True), (0.5, True), signs=2).best().threshold == 0.25


@pytest.mark.parametrize("signs", [0, 3])
def test_a_curve_without_detections_has_no_threshold(signs: int) -> None:
    curve = _curve(signs=signs)

    best = curve.best()

    assert np.isnan([best.threshold, best.precision]).all()
    assert (best.hits, best.misses, best.false_alarms) == (0, signs, 0)
    assert np.isnan(curve.area) if not signs else curve.area == 0.0


def test_without_signs_every_detection_is_a_false_alarm_and_no_share_can_be_had() -> None:
    point = _curve((0.5, False), (0.25, False), signs=0).at(0.5)

    assert (point.false_alarms, point.precision) == (1, 0.0)
    assert np.isnan([point.recall, point.f1]).all()


def test_f1_is_the_harmonic_mean() -> None:
    point = OperatingPoint(0.5, hits=6, misses=2, false_alarms=4)

    assert (point.precision, point.recall) == (0.6, 0.75)
    assert point.f1 == pytest.approx(2 / (1 / 0.6 + 1 / 0.75))
