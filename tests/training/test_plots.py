"""Tests of the pictures of training runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from training.classifier.calibration import reliability
from training.classifier.plots import draw_confusion_matrix, draw_mistakes, draw_recall, draw_reliability
from training.plots import draw_curves
from training.train import EpochReport

CURVE = [EpochReport(epoch, 3.0 / epoch, 1 - 0.9 / epoch, 1e-3, 100.0) for epoch in range(1, 31)]


def _check_picture(path: Path) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) > 200
    assert (pixels == 255).all(axis=2).mean() > 0.2  # a white ground
    assert (pixels != 255).any(axis=2).mean() > 0.01  # with something on it
    assert plt.get_fignums() == []  # and the figure is freed


@pytest.mark.parametrize("epochs", [1, 30])
def test_curves_are_one_picture(tmp_path: Path, epochs: int) -> None:
    path = tmp_path / "new" / "folder" / "curves.png"

    draw_curves(CURVE[:epochs], path)

    _check_picture(path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    right = pixels[:, pixels.shape[1] // 2 :]  # no legend is there, so that what is red is the curve
    assert (right == (0xC1, 0x12, 0x1C)).all(axis=2).any()


def test_confusion_matrix_is_one_picture(tmp_path: Path) -> None:
    confusion = np.diag(np.arange(6)).astype(np.int64)
    confusion[2, 4] = 7

    draw_confusion_matrix(confusion, [f"class {index}" for index in range(6)], tmp_path / "confusion.png")

    _check_picture(tmp_path / "confusion.png")


def test_confusion_matrix_may_be_empty(tmp_path: Path) -> None:
    draw_confusion_matrix(np.zeros((3, 3), dtype=np.int64), ["a", "b", "c"], tmp_path / "confusion.png")

    _check_picture(tmp_path / "confusion.png")


def test_same_figures_give_the_same_picture(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_curves(CURVE, tmp_path / name)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_curves_take_held_out_figures_of_fewer_epochs(tmp_path: Path) -> None:
    watched = [replace(CURVE[0], validation_loss=1.0, validation_score=0.5)]

    draw_curves([*watched, *CURVE[1:]], tmp_path / "curves.png", "1 - mAP50, %")

    _check_picture(tmp_path / "curves.png")


@pytest.mark.parametrize("worst", [0.0, 0.995, 1.0])
def test_recall_is_one_picture_without_the_classes_that_have_no_crops(tmp_path: Path, worst: float) -> None:
    recall, counts = np.array([1.0, np.nan, worst] * 8), np.array([5, 0, 7] * 8)

    draw_recall(recall, counts, ["a", "b", "c"] * 8, tmp_path / "recall.png")

    _check_picture(tmp_path / "recall.png")


def test_reliability_is_one_picture(tmp_path: Path) -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], dtype=np.float32)

    draw_reliability(reliability(probabilities, np.array([0, 1, 1])), tmp_path / "reliability.png")

    _check_picture(tmp_path / "reliability.png")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_mistakes_are_one_picture(tmp_path: Path, count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)

    draw_mistakes(images, [("is stop", "taken for give way")] * count, tmp_path / "mistakes.png")

    with Image.open(tmp_path / "mistakes.png") as image:
        assert min(image.size) > 50
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", [r"fee $\x$", "US$ & CA$ 5"])
def test_class_names_with_dollar_signs_are_no_formulas(tmp_path: Path, name: str) -> None:
    names, path = [name, "stop"], tmp_path / "plot.png"

    draw_confusion_matrix(np.eye(2, dtype=np.int64), names, path)
    draw_recall(np.array([1.0, 0.5]), np.array([3, 4]), names, path)
    draw_mistakes(np.zeros((1, 24, 24, 3), np.uint8), [(f"is {name}", "taken for stop")], path)

    figure = plt.figure()
    assert not figure.text(0, 0, name).get_parse_math()
    plt.close(figure)
