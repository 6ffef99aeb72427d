"""Tests of the figures."""

import json

import numpy as np
import pytest

from traffic_signs.classes import CLASS_NAMES, NUM_CLASSES
from training.classifier.evaluate import Evaluation, evaluate


@pytest.fixture
def evaluation() -> Evaluation:
    """Returns what a hand-made example comes to: 4 classes, class 2 without crops, 3 mistakes in 7."""
    probabilities = np.array(
        [
            [0.7, 0.1, 0.1, 0.1],  # 0 as 0
            [0.1, 0.6, 0.2, 0.1],  # 0 as 1, third most confident mistake
            [0.1, 0.8, 0.0, 0.1],  # 1 as 1
            [0.0, 0.1, 0.9, 0.0],  # 1 as 2, most confident mistake
            [0.1, 0.5, 0.2, 0.2],  # 1 as 1
            [0.8, 0.0, 0.1, 0.1],  # 3 as 0, second
            [0.1, 0.1, 0.1, 0.7],  # 3 as 3
        ],
        dtype=np.float32,
    )
    return evaluate(probabilities, np.array([0, 0, 1, 1, 1, 3, 3]), CLASS_NAMES)


def test_accuracy_is_the_share_of_right_crops(evaluation: Evaluation) -> None:
    assert evaluation.accuracy == pytest.approx(4 / 7)


def test_confusion_has_the_truth_in_rows(evaluation: Evaluation) -> None:
    assert evaluation.confusion.tolist() == [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]]


def test_recall_is_by_class_and_nan_without_crops(evaluation: Evaluation) -> None:
    assert np.allclose(evaluation.recall, [1 / 2, 2 / 3, np.nan, 1 / 2], equal_nan=True)


def test_mistakes_come_with_the_most_confident_first(evaluation: Evaluation) -> None:
    assert evaluation.mistakes.tolist() == [3, 5, 1]


def test_balanced_accuracy_leaves_out_classes_without_crops(evaluation: Evaluation) -> None:
    assert evaluation.metrics() == {
        "accuracy": pytest.approx(4 / 7),
        "balanced_accuracy": pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 3),
        "ece": pytest.approx(evaluation.reliability.expected_calibration_error),
    }


def test_flawless_predictions_have_no_mistakes() -> None:
    flawless = evaluate(np.eye(5, dtype=np.float32), np.arange(5), CLASS_NAMES)

    assert flawless.mistakes.tolist() == []
    assert flawless.metrics() == {"accuracy": 1.0, "balanced_accuracy": 1.0, "ece": 0.0}


def test_interval_of_the_accuracy_is_wilsons() -> None:
    labels = np.zeros(3000, np.int64)
    labels[:8] = 1

    figures = evaluate(np.eye(2, dtype=np.float32)[[0] * 3000], labels, ("a", "b")).as_dict()

    # Worked out by hand from the formula.
    assert figures["accuracy_interval"] == pytest.approx([0.99475, 0.99865], abs=1e-5)


def test_all_figures_are_json_with_none_for_a_class_without_crops() -> None:
    figures = json.loads(
        json.dumps(evaluate(np.eye(NUM_CLASSES, dtype=np.float32)[:3], np.array([0, 1, 1]), CLASS_NAMES).as_dict())
    )

    assert (figures["samples"], figures["wrong"]) == (3, 1)
    assert [each["recall"] for each in figures["classes"][:3]] == [1.0, 0.5, None]
    assert figures["classes"][1] == {"class_id": 1, "name": "speed limit 30", "samples": 2, "recall": 0.5}
    assert sum(map(sum, figures["confusion"])) == 3
