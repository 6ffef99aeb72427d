"""Tests of the figures of detections."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.training.detector.simple_detector import (
    Box,
    detections,
    plain_average_precision,
    random_scenes,
    signs,
)
from traffic_signs.classes import CLASS_NAMES, GERMAN_SIGNS
from training.detector.detections import Detections
from training.detector.evaluate import DetectionEvaluation, evaluate_detections

A: Box = (100, 100, 140, 140)
B: Box = (300, 100, 340, 140)
FAR: Box = (600, 600, 640, 640)
NONE = detections()


def _figures(
    truth: list[Detections], found: list[Detections], threshold: float | None = None, names: int = 4
) -> DetectionEvaluation:
    return evaluate_detections(truth, found, GERMAN_SIGNS.category_names[:names], threshold)


def test_a_perfect_detector_has_all_figures_of_one() -> None:
    result = _figures([signs((A, 0), (B, 1)), NONE], [detections((A, 0.9, 0), (B, 0.8, 1)), NONE])

    metrics = result.metrics()
    assert {metrics[name] for name in ("map50", "map60", "map50_95", "auc60", "precision", "recall", "f1")} == {1.0}
    assert (metrics["hits"], metrics["misses"], metrics["false_alarms"]) == (2, 0, 0)


def test_a_miss_costs_the_recall_that_it_would_have_brought() -> None:
    label = _figures([signs((A, 0), (B, 0))], [detections((A, 0.9, 0))]).labels[0]

    assert label.ap50 == pytest.approx(51 / 101)  # recalls 0 to 0.5 are reached
    assert label.curve50.area == pytest.approx(0.5)
    assert (label.chosen.recall, label.chosen.precision) == (0.5, 1.0)


def test_a_second_box_on_a_sign_is_a_false_alarm() -> None:
    result = _figures([signs((A, 0))], [detections((A, 0.9, 0), (A, 0.8, 0))], threshold=0.5)

    assert (result.chosen.hits, result.chosen.misses, result.chosen.false_alarms) == (1, 0, 1)
    assert result.labels[0].ap50 == pytest.approx(1.0)  # it comes after all signs are found


def test_a_false_alarm_between_two_hits_lowers_the_second_half() -> None:
    found = [detections((A, 0.9, 0), (FAR, 0.8, 0), (B, 0.7, 0))]

    label = _figures([signs((A, 0), (B, 0))], found).labels[0]

    assert label.curve50.area == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert label.ap50 == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_a_wrong_label_is_a_miss_of_one_and_a_false_alarm_of_the_other() -> None:
    result = _figures([signs((A, 0), (B, 1))], [detections((A, 0.9, 1), (B, 0.8, 1))], threshold=0.5)

    assert (result.labels[0].chosen.misses, result.labels[0].chosen.false_alarms) == (1, 0)
    assert (result.labels[1].chosen.hits, result.labels[1].chosen.false_alarms) == (1, 1)
    assert result.labels[0].ap50 == 0.0
    assert result.labels[1].curve50.area == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bottom", "at_50", "at_60"),
    [(119.9, 0.0, 0.0), (120.0, 1.0, 0.0), (123.9, 1.0, 0.0), (124.0, 1.0, 1.0), (124.1, 1.0, 1.0)],
)
def test_an_overlap_counts_from_the_threshold_on(bottom: float, at_50: float, at_60: float) -> None:
    label = _figures([signs((A, 0))], [detections(((100, 100, 140, bottom), 0.9, 0))]).labels[0]

    assert [label.ap50, label.curve50.area] == pytest.approx([at_50, at_50])
    assert [label.ap60, label.curve60.area] == pytest.approx([at_60, at_60])


def test_a_detection_takes_the_sign_that_it_overlaps_most() -> None:
    truth = signs(((100, 100, 140, 140), 0), ((110, 100, 150, 140), 0))

    result = _figures([truth], [detections(((109, 100, 149, 140), 0.9, 0))])

    assert [matches.tolist() for matches in result.matches] == [[1]]


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_the_definition(seed: int) -> None:
    truth, found = random_scenes(seed)

    result = _figures(truth, found)

    for label, figures in enumerate(result.labels):
        average50, area50 = plain_average_precision(truth, found, label, 0.5)
        average60, area60 = plain_average_precision(truth, found, label, 0.6)
        averages = [plain_average_precision(truth, found, label, 0.5 + 0.05 * step)[0] for step in range(10)]
        assert figures.ap50 == pytest.approx(average50, abs=1e-9)
        assert figures.ap60 == pytest.approx(average60, abs=1e-9)
        assert figures.ap50_95 == pytest.approx(np.mean(averages), abs=1e-9)
        assert figures.curve50.area == pytest.approx(area50, abs=1e-9)
        assert figures.curve60.area == pytest.approx(area60, abs=1e-9)
        assert abs(figures.ap60 - figures.curve60.area) < 0.01


def test_the_random_scenes_tell_the_two_overlaps_apart() -> None:
    metrics = _figures(*random_scenes(0, 100)).metrics()

    assert metrics["map50_95"] < metrics["map60"] < metrics["map50"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_scenes_and_of_boxes_does_not_matter(seed: int) -> None:
    truth, found = random_scenes(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth)).tolist()

    def shuffled(scene: Detections) -> Detections:
        places = rng.permutation(len(scene.boxes))
        return Detections(scene.boxes[places], scene.scores[places], scene.labels[places])

    mixed = _figures([shuffled(truth[index]) for index in order], [shuffled(found[index]) for index in order])

    assert mixed.metrics() == pytest.approx(_figures(truth, found).metrics())


def test_only_the_order_of_the_scores_matters_to_averages() -> None:
    truth, found = random_scenes(1)
    squared = [replace(scene, scores=scene.scores**2) for scene in found]

    before, after = _figures(truth, found).metrics(), _figures(truth, squared).metrics()

    assert {name: after[name] for name in after if name != "threshold"} == pytest.approx(
        {name: before[name] for name in before if name != "threshold"}
    )


def test_equal_scores_come_together_whatever_the_order_of_scenes() -> None:
    truth, found = [signs((A, 0)), NONE], [detections((A, 0.5, 0)), detections((FAR, 0.5, 0))]

    forward, backward = _figures(truth, found), _figures(truth[::-1], found[::-1])

    assert forward.labels[0].curve50.area == backward.labels[0].curve50.area == 0.5


def test_more_detections_than_coco_looks_at_all_count() -> None:
    strays: list[tuple[Box, float, int]] = [((index * 7, 500, index * 7 + 5, 505), 0.9, 0) for index in range(150)]

    label = _figures([signs((A, 0))], [detections(*strays, (A, 0.1, 0))]).labels[0]

    assert label.ap50 == pytest.approx(1 / 151)


def test_labels_without_signs_are_left_out_of_means() -> None:
    result = _figures([signs((A, 0))], [detections((A, 0.9, 0), (FAR, 0.8, 3))], threshold=0.5)

    assert result.metrics()["map50"] == 1.0
    assert "ap50_other" not in result.metrics()
    assert result.as_dict()["labels"][3]["ap50"] is None
    assert result.as_dict()["labels"][3]["chosen"]["false_alarms"] == 1


def test_the_benchmark_scores_three_of_the_four_categories() -> None:
    metrics = _figures([signs((A, 0), (B, 3))], [detections((A, 0.9, 0))]).metrics()

    assert (metrics["map50"], metrics["map50_benchmark"], metrics["auc60_benchmark"]) == (0.5, 1.0, 1.0)
    assert (metrics["ap50_prohibitory"], metrics["auc60_prohibitory"], metrics["ap60_other"]) == (1.0, 1.0, 0.0)


def test_classes_and_signs_as_such_have_no_benchmark_figures_and_no_long_list() -> None:
    truth, found = random_scenes(0, labels=43)

    def alike(scenes: list[Detections]) -> list[Detections]:
        return [replace(scene, labels=scene.labels * 0) for scene in scenes]

    by_class = evaluate_detections(truth, found, CLASS_NAMES)
    as_such = evaluate_detections(alike(truth), alike(found), ["sign"])

    assert by_class.metrics().keys() == as_such.metrics().keys()
    assert not any("benchmark" in name or "stop" in name for name in by_class.metrics())
    assert by_class.chosen.hits <= by_class.curve50.hits[-1] < as_such.curve50.hits[-1]
    assert len(by_class.as_dict()["labels"]) == 43


def test_sizes_are_distinguished_by_the_long_side() -> None:
    small, medium, large = (0, 0, 31.5, 10), (100, 0, 132, 8), (200, 0, 210, 64)
    truth = [signs((small, 0), (medium, 0), (large, 0))]
    found = [detections((small, 0.9, 0), (large, 0.8, 0), ((400, 400, 440, 440), 0.95, 0))]

    result = _figures(truth, found, threshold=0.5)

    assert [size.signs.tolist() for size in result.sizes] == [[1, 0, 0, 0]] * 3
    # The stray one of 40 pixels counts against signs of its own size alone.
    assert [size.ap50[0] for size in result.sizes] == pytest.approx([1.0, 0.0, 1.0])
    assert [size.hits for size in result.sizes] == [1, 0, 1]
    assert result.metrics()["map50_medium"] == result.metrics()["recall_medium"] == 0.0


def test_a_size_without_signs_is_left_out() -> None:
    result = _figures([signs((A, 0))], [detections((A, 0.9, 0))])

    assert not {"map50_small", "recall_large"} & result.metrics().keys()
    assert result.as_dict()["map50_small"] is None
    assert result.as_dict()["sizes"][0]["ap50"] == [None] * 4


def test_a_given_threshold_decides_what_counts() -> None:
    truth, found = [signs((A, 0), (B, 0))], [detections((A, 0.9, 0), (B, 0.5, 0), (FAR, 0.3, 0))]

    def counts(threshold: float | None) -> list[float]:
        chosen = _figures(truth, found, threshold).chosen
        return [chosen.threshold, chosen.hits, chosen.misses, chosen.false_alarms]

    assert counts(0.95) == [0.95, 0, 2, 0]
    assert counts(0.5) == [0.5, 2, 0, 0]
    assert counts(0.0) == [0.0, 2, 0, 1]
    assert counts(None) == pytest.approx([0.4, 2, 0, 0])  # the best F1, halfway to the next score


@pytest.mark.parametrize("truth", [signs((A, 0)), NONE])
def test_a_detector_that_finds_nothing_has_figures_too(truth: Detections) -> None:
    result = _figures([truth], [NONE])

    json.dumps(result.as_dict(), allow_nan=False)
    assert result.metrics().get("map50") == (0.0 if len(truth.boxes) else None)
    assert (result.chosen.hits, result.chosen.misses, result.chosen.false_alarms) == (0, len(truth.boxes), 0)
    assert "threshold" not in result.metrics()


def test_scenes_without_signs_count_false_alarms() -> None:
    result = _figures([NONE, NONE], [detections((A, 0.9, 0)), NONE], threshold=0.5)

    totals = {"threshold": 0.5, "precision": 0.0, "hits": 0, "misses": 0, "false_alarms": 1}
    assert result.metrics() == totals | {"precision_prohibitory": 0.0}


def test_all_figures_are_json() -> None:
    figures = json.loads(json.dumps(_figures(*random_scenes(2)).as_dict(), allow_nan=False))

    assert figures["scenes"] == 30
    assert [label["name"] for label in figures["labels"]] == list(GERMAN_SIGNS.category_names)
    assert [size["upper"] for size in figures["sizes"]] == [32, 64, None]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    _figures(*random_scenes(0))

    assert capfd.readouterr() == ("", "")


GOOD = detections((A, 0.9, 0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(GOOD, boxes=GOOD.boxes * np.float32("nan")), "not a finite number"),
        (replace(GOOD, boxes=GOOD.boxes[:, ::-1]), "no area"),
        (replace(GOOD, boxes=GOOD.boxes[0]), r"shape \[4\]"),
        (replace(GOOD, scores=GOOD.scores[:0]), r"1 boxes have scores \[0\]"),
        (replace(GOOD, scores=GOOD.scores * np.float32("nan")), "score is not within 0 and 1"),
        (replace(GOOD, scores=GOOD.scores + 1), "score is not within 0 and 1"),
        (replace(GOOD, labels=GOOD.labels + 4), "not one of the 4"),
        (replace(GOOD, labels=GOOD.labels - 1), "not one of the 4"),
        (replace(GOOD, labels=GOOD.labels.astype(np.float64)), "expected integers"),
    ],
)
def test_boxes_that_cannot_be_right_are_refused_with_their_scene(wrong: Detections, message: str) -> None:
    with pytest.raises(ValueError, match=f"detections of scene 1.*{message}"):
        _figures([NONE, NONE], [NONE, wrong])
    with pytest.raises(ValueError, match=f"labelled signs of scene 0.*{message}"):
        _figures([wrong], [NONE])


def test_other_scenes_no_scenes_and_odd_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scenes have labels and 1 have detections"):
        _figures([NONE, NONE], [NONE])
    with pytest.raises(ValueError, match="nothing to evaluate"):
        _figures([], [])
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate_detections([NONE], [NONE], [])
    with pytest.raises(ValueError, match="threshold is 50"):
        _figures([NONE], [NONE], threshold=50)
