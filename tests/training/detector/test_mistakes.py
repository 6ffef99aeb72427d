"""Tests of what went wrong and why."""

import pytest

from tests.training.detector.simple_detector import Box, detections, random_scenes, signs
from traffic_signs.classes import GERMAN_SIGNS
from training.detector.detections import Detections, overlaps
from training.detector.evaluate import evaluate_detections
from training.detector.mistakes import Mistake, find_false_alarms, find_misses

A: Box = (100, 100, 140, 140)
B: Box = (300, 100, 380, 180)
FAR: Box = (600, 600, 640, 640)
LOW: Box = (100, 120, 140, 160)  # a third of it and A is shared
HALF: Box = (100, 100, 140, 120)


def _mistakes(truth: list[Detections], found: list[Detections]) -> tuple[list[Mistake], list[Mistake]]:
    evaluation = evaluate_detections(truth, found, GERMAN_SIGNS.category_names, score_threshold=0.5)
    return find_false_alarms(evaluation, truth, found), find_misses(evaluation, truth, found)


def test_a_detection_of_nothing_touches_no_sign() -> None:
    alarms, misses = _mistakes([signs((A, 0))], [detections((A, 0.9, 0), (FAR, 0.8, 0))])

    assert alarms == [Mistake(scene=0, detection=1, sign=None, overlap=0.0, kind="nothing")]
    assert misses == []


def test_a_wrong_label_is_both_and_each_points_at_the_other() -> None:
    alarms, misses = _mistakes([signs((A, 0))], [detections((A, 0.9, 2))])

    assert alarms == [Mistake(0, 0, sign=0, overlap=1.0, kind="label")]
    assert misses == [Mistake(0, 0, 0, overlap=1.0, kind="label")]


def test_a_second_box_is_a_duplicate() -> None:
    alarms, misses = _mistakes([signs((A, 0))], [detections((A, 0.9, 0), (HALF, 0.8, 0))])

    assert (alarms, misses) == ([Mistake(0, 1, sign=0, overlap=0.5, kind="duplicate")], [])


def test_a_box_that_does_not_fit_is_both() -> None:
    alarms, misses = _mistakes([signs((A, 0))], [detections((LOW, 0.9, 0))])

    assert alarms == [Mistake(0, 0, sign=0, overlap=800 / 2400, kind="place")]
    assert misses == [Mistake(0, 0, 0, overlap=800 / 2400, kind="place")]


def test_a_low_score_is_a_miss_and_no_false_alarm() -> None:
    alarms, misses = _mistakes([signs((A, 0))], [detections((A, 0.4, 0), (FAR, 0.4, 0))])

    assert (alarms, misses) == ([], [Mistake(0, 0, 0, overlap=1.0, kind="score")])


def test_of_the_detections_that_fit_a_missed_sign_the_surest_is_reported() -> None:
    _, misses = _mistakes([signs((A, 0))], [detections((A, 0.1, 1), (HALF, 0.4, 0), (LOW, 0.9, 3))])

    assert misses == [Mistake(0, 1, 0, overlap=0.5, kind="score")]


def test_one_box_for_two_signs_is_taken() -> None:
    truth = signs((A, 0), ((100, 100, 140, 141), 0))

    _, misses = _mistakes([truth], [detections((A, 0.9, 0))])

    assert [(miss.sign, miss.detection, miss.kind) for miss in misses] == [(1, 0, "taken")]


def test_the_surest_false_alarm_and_the_largest_miss_come_first() -> None:
    truth = [signs((A, 0)), signs((B, 1))]
    found = [detections((FAR, 0.6, 0)), detections((FAR, 0.9, 2), (FAR, 0.4, 2))]

    alarms, misses = _mistakes(truth, found)

    assert [(alarm.scene, alarm.detection) for alarm in alarms] == [(1, 0), (0, 0)]
    assert [(miss.scene, miss.kind) for miss in misses] == [(1, "nothing"), (0, "nothing")]


@pytest.mark.parametrize("seed", range(3))
def test_mistakes_are_as_many_as_the_evaluation_counts(seed: int) -> None:
    truth, found = random_scenes(seed)
    evaluation = evaluate_detections(truth, found, GERMAN_SIGNS.category_names, score_threshold=0.3)

    assert len(find_false_alarms(evaluation, truth, found)) == evaluation.chosen.false_alarms > 0
    assert len(find_misses(evaluation, truth, found)) == evaluation.chosen.misses > 0


def test_overlap_is_the_shared_part_of_the_union() -> None:
    boxes = detections((A, 1, 0), (HALF, 1, 0), (FAR, 1, 0)).boxes

    assert overlaps(boxes, boxes[:2]).tolist() == [[1, 0.5], [0.5, 1], [0, 0]]
    assert overlaps(boxes[:0], boxes).shape == (0, 3)
