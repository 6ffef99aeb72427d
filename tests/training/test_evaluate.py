"""Tests of the figures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.classes import NUM_CLASSES
from training.data.crops import Crops
from training.evaluate import Evaluation, evaluate, fold_indices, save_confusion_matrix


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
    return evaluate(probabilities, np.array([0, 0, 1, 1, 1, 3, 3]))


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
    }


def test_flawless_predictions_have_no_mistakes() -> None:
    flawless = evaluate(np.eye(5, dtype=np.float32), np.arange(5))

    assert flawless.mistakes.tolist() == []
    assert flawless.metrics() == {"accuracy": 1.0, "balanced_accuracy": 1.0}


def test_confusion_matrix_is_a_picture_even_with_classes_that_have_no_crops(tmp_path: Path) -> None:
    probabilities = np.eye(NUM_CLASSES, dtype=np.float32)[[1, 2, 2, 40]]
    path = tmp_path / "plots" / "confusion_matrix.png"

    save_confusion_matrix(evaluate(probabilities, np.array([1, 2, 3, 40])), path)

    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"


@pytest.mark.parametrize("folds", [2, 5, 24])
def test_folds_hold_every_crop_once_and_keep_images_together(coloured_crops: Crops, folds: int) -> None:
    parts = fold_indices(coloured_crops, folds, seed=0)

    assert len(parts) == folds
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(coloured_crops)))
    images = [{coloured_crops.sources[index] for index in part} for part in parts]
    assert sum(len(names) for names in images) == len(set.union(*images)) == 24
    assert max(len(names) for names in images) - min(len(names) for names in images) <= 1


def test_folds_repeat_by_seed(coloured_crops: Crops) -> None:
    def dealt(seed: int) -> list[list[int]]:
        return [part.tolist() for part in fold_indices(coloured_crops, 4, seed)]

    assert dealt(3) == dealt(3)
    assert dealt(3) != dealt(4)


@pytest.mark.parametrize("folds", [-1, 0, 1, 25])
def test_folds_that_cannot_be_dealt_are_a_value_error(coloured_crops: Crops, folds: int) -> None:
    with pytest.raises(ValueError, match=rf"{folds} folds of 24 images: choose 2 or more"):
        fold_indices(coloured_crops, folds, seed=0)
