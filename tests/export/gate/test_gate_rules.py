"""What the rules of the gate let pass and what they refuse, on figures made for it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from export.gate.config import GateLimits
from export.gate.detection import check_false_alarms, check_precision
from export.gate.rules import (
    Answers,
    check_classes,
    check_latency,
    check_overall,
    check_parity,
    check_recorded_accuracy,
    check_size,
)
from export.gate.statistics import Ranked
from export.gate.verdict import Finding, Side, Verdict
from export.precision import SAME_FILE

LIMITS = GateLimits()
Right = npt.NDArray[np.bool_]


def right(count: int, wrong: list[int] | range) -> Right:
    answer = np.ones(count, np.bool_)
    answer[list(wrong)] = False
    return answer


def answers(challenger: Right, champion: Right | None, labels: npt.NDArray[np.int64] | None = None) -> Answers:
    if labels is None:
        labels = np.zeros(len(challenger), np.int64)
    return Answers(("stop", "give way", "no entry"), labels, challenger, champion)


@pytest.mark.parametrize(
    ("lost", "won", "count", "passed"),
    [
        (0, 0, 1000, True),
        (5, 5, 1000, True),
        (5, 0, 1000, False),  # significant
        (30, 24, 1000, False),  # no more than chance, and 6 where 5 are allowed
        (29, 24, 1000, True),
        (2, 0, 20, True),  # 10%, and still two images
        (3, 0, 20, False),
        (0, 20, 1000, True),
    ],
)
def test_overall_the_challenger_may_lose_little_and_not_surely(lost: int, won: int, count: int, passed: bool) -> None:
    finding = check_overall(
        "accuracy", answers(right(count, range(lost)), right(count, range(lost, lost + won))), LIMITS
    )
    assert finding.passed == passed, finding.text
    assert (finding.figures["lost"], finding.figures["won"], finding.figures["items"]) == (lost, won, count)
    assert f"{won} won, {lost} lost" in finding.text


def test_a_first_champion_needs_a_score_of_its_own() -> None:
    assert check_overall("accuracy", answers(right(100, range(10)), None), LIMITS).passed
    finding = check_overall("accuracy", answers(right(100, range(11)), None), LIMITS)
    assert not finding.passed and "89.00% of 100 right; without a champion it needs 90.00%" in finding.text
    assert check_overall("accuracy", answers(right(100, range(11)), None), replace(LIMITS, min_score=0.8)).passed


@pytest.mark.parametrize(
    ("items", "lost", "before", "passed"),
    [
        (2, 2, 0, True),  # two images decide nothing
        (3, 3, 0, False),
        (4, 2, 0, True),  # half of them are still right
        (5, 3, 0, False),
        (6, 2, 2, True),  # below the floor, by two images
        (300, 9, 0, True),  # 97%, and a test of 3 classes: 3/512 of cases
        (300, 12, 0, False),
    ],
)
def test_a_class_collapses_below_the_floor_or_where_it_surely_falls(
    items: int, lost: int, before: int, passed: bool
) -> None:
    others = 400
    labels = np.repeat(np.array([1, 0, 2]), (items, others, others))
    champion, challenger = right(len(labels), range(before)), right(len(labels), range(before + lost))
    limits = LIMITS if items < 300 else replace(LIMITS, significance=0.005)
    finding = check_classes("classes", answers(challenger, champion, labels), limits)
    assert finding.passed == passed, finding.text
    assert finding.figures["collapsed"] == ([] if passed else ["give way"])
    assert finding.text.startswith("none of 3" if passed else "1 of 3 collapsed: give way")


def test_many_classes_that_lose_an_image_each_are_no_collapse() -> None:
    labels = np.repeat(np.arange(3), 20)
    finding = check_classes("classes", answers(right(60, [0, 20, 40]), right(60, []), labels), LIMITS)
    assert finding.passed and len(finding.figures["classes"]) == 3


def test_a_class_that_was_below_the_floor_before_may_stay_there() -> None:
    labels = np.zeros(8, np.int64)
    champion, challenger = right(8, range(5)), right(8, range(8))
    assert check_classes("classes", answers(challenger, champion, labels), LIMITS).passed
    assert not check_classes("classes", answers(challenger, None, labels), LIMITS).passed, "a first champion may not"


def test_without_a_champion_nothing_falls_and_the_lowest_classes_are_named() -> None:
    labels = np.repeat(np.arange(3), [100, 10, 10])
    first = check_classes("classes", answers(right(120, [0, 1, 2, 3, 100, 101]), None, labels), LIMITS)
    assert first.passed and "falls" not in first.text
    assert first.text.endswith("the lowest: give way 80.0% of 10, stop 96.0% of 100")
    second = check_classes("classes", answers(right(120, [100, 101]), right(120, []), labels), LIMITS)
    assert second.passed and "the largest falls: give way 80.0% after 100.0% of 10" in second.text


PARITY = {"samples": 100, "max_difference": 2e-6, "mean_difference": 1e-7, "disagreements": 0}


@pytest.mark.parametrize(
    ("accuracy", "passed", "text"),
    [
        (
            {"exported": 0.995, "fp32": 0.997, "samples": 3000, "data": "gtsrb"},
            True,
            "99.50%, the trained network 99.70%",
        ),
        ({"exported": 0.999, "fp32": 0.997, "samples": 3000, "data": "gtsrb"}, True, "99.90%"),
        ({"exported": 0.99, "fp32": 0.997, "samples": 3000, "data": "gtsrb"}, False, "a loss of 0.005 is allowed"),
        ({"exported": math.nan, "fp32": 0.997, "samples": 3000, "data": "gtsrb"}, False, "nan%"),
        ({"exported": "0.99", "fp32": 0.997, "samples": 3000}, False, "does not say how accurate"),
        ({}, False, "does not say how accurate"),
    ],
)
def test_a_file_for_other_machines_may_not_have_lost_too_much(
    accuracy: dict[str, Any], passed: bool, text: str
) -> None:
    finding = check_recorded_accuracy("accuracy (int8 file)", accuracy, LIMITS)
    assert finding.passed == passed and text in finding.text


@pytest.mark.parametrize(
    ("precision", "figures", "reason"),
    [
        ("fp32", PARITY, ""),
        ("fp32", {**PARITY, "max_difference": 2e-4}, "0.0001 is allowed for fp32"),
        ("fp16", {**PARITY, "max_difference": 2e-4}, ""),
        ("fp32", {**PARITY, "max_difference": float("nan")}, "is allowed"),
        ("fp32", {**PARITY, "disagreements": 1}, "0.0% of disagreements"),
        ("fp32", {**PARITY, "max_box_difference": 0.1}, "boxes by 0.1 pixels"),
        ("int8", {**PARITY, "max_difference": 0.4, "disagreements": 2}, ""),
        ("int8", {**PARITY, "disagreements": 3}, "2.0% of disagreements"),
        ("fp32", {}, "does not say how far"),
        ("int3", PARITY, "no tolerance is known for the precision 'int3'"),
        ("", PARITY, "no tolerance"),
    ],
)
def test_parity_is_measured_by_the_tolerance_of_the_precision(
    precision: str, figures: dict[str, float], reason: str
) -> None:
    finding = check_parity("parity", precision, figures, "PyTorch", compared=100)
    assert finding.passed == (not reason) and reason in finding.text
    assert all(value == value for value in finding.figures.values()), "JSON has no NaN"


def test_the_same_int8_file_answers_alike_on_a_cpu() -> None:
    figures = {**PARITY, "max_difference": 0.4}
    finding = check_parity("served answers", "int8", figures, "ONNX Runtime", 100, SAME_FILE)
    assert not finding.passed and "0.02 is allowed for int8" in finding.text


def test_classes_of_noise_may_change() -> None:
    assert check_parity("parity", "fp32", {**PARITY, "disagreements": 1}, "PyTorch").passed


def latencies(seed: int, median: float) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return median * (1 + random.exponential(0.1, 300)) + 15 * (random.random(300) < 0.03)


def test_latency_is_refused_only_where_it_is_surely_beyond_the_budget() -> None:
    champion = latencies(1, 3.0)
    assert check_latency(latencies(2, 3.0), champion, LIMITS).passed
    assert check_latency(latencies(2, 3.5), champion, LIMITS).passed
    finding = check_latency(latencies(2, 6.0), champion, LIMITS)
    assert not finding.passed and "1.25 times is allowed at p50" in finding.text
    assert finding.figures["ratio_p50_lower"] > 1.25


def test_slow_requests_now_and_then_are_seen_at_p99() -> None:
    champion = 3 + np.random.default_rng(1).random(1000)
    challenger = np.where(np.arange(1000) % 20, champion, 4 * champion)
    finding = check_latency(challenger, champion, LIMITS)
    assert not finding.passed and "at p99" in finding.text and "at p50" not in finding.text


def test_a_budget_in_milliseconds_holds_without_a_champion() -> None:
    times = 3 + np.random.default_rng(1).random(300)
    assert check_latency(times, None, LIMITS).passed
    assert check_latency(times, None, replace(LIMITS, max_p99_ms=5.0)).passed
    finding = check_latency(times, None, replace(LIMITS, max_p99_ms=2.0))
    assert not finding.passed and "where 2 is allowed" in finding.text


def test_size_has_a_ratio_and_a_limit() -> None:
    assert check_size(2_000_000, 1_000_000, LIMITS).passed
    assert not check_size(2_000_001, 1_000_000, LIMITS).passed
    assert check_size(9_000_000, None, LIMITS).passed
    assert not check_size(9_000_000, None, replace(LIMITS, max_size_mb=8.0)).passed


def test_false_alarms_are_counted_by_scene() -> None:
    none, many = np.zeros(40, np.int64), np.zeros(40, np.int64)
    many[0] = 50
    assert check_false_alarms(many, none, LIMITS).passed, "one scene, however many"
    assert not check_false_alarms(np.ones(40, np.int64), none, LIMITS).passed
    assert check_false_alarms(none, np.ones(40, np.int64), LIMITS).passed
    assert check_false_alarms(many, None, LIMITS).passed


def found(wrong: int) -> Ranked:
    """One detection in each of 40 scenes, of which some are wrong."""
    return Ranked(np.full(40, 0.9), np.arange(40) >= wrong, np.zeros(40, np.int64), np.arange(40))


def test_precision_is_refused_where_it_surely_falls_beyond_the_margin() -> None:
    signs = np.ones((40, 1), np.int64)
    assert check_precision(found(0), found(0), signs, LIMITS).passed
    finding = check_precision(found(12), found(0), signs, LIMITS)
    assert not finding.passed and "lower bound" in finding.text
    assert check_precision(found(12), found(0), signs, replace(LIMITS, max_loss=0.9)).passed
    assert check_precision(found(0), found(12), signs, LIMITS).passed
    assert not check_precision(found(30), None, signs, replace(LIMITS, min_score=0.5)).passed


def verdict(*findings: Finding, champion: Side | None = None) -> Verdict:
    return Verdict("m", Side(3, "a"), champion, {"name": "gtsdb=x"}, "tritonserver", findings, LIMITS)


def test_the_verdict_names_every_rule_that_is_broken() -> None:
    good, bad, worse = Finding("size", True, ""), Finding("accuracy", False, ""), Finding("latency", False, "")
    refused = verdict(good, bad, worse, champion=Side(2, "b"))
    assert not refused.passed
    assert refused.sentence == "m 3 is refused for its accuracy, latency, and version 2 stays"
    passed = verdict(good, champion=Side(2, "b"))
    assert passed.passed and passed.sentence == "m 3 may become champion: it passes every rule against version 2"
    assert "without a version to compare it with" in verdict(good).sentence
    assert not verdict().passed, "nothing looked at is nothing proved"
    content = refused.as_dict()
    assert content["challenger"] == {"version": 3, "sha256": "a"} and content["limits"]["max_loss"] == 0.005
    assert [rule["passed"] for rule in content["rules"]] == [True, False, False]
