"""Plots of a classifier's evaluation. Each function writes one PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter

from traffic_signs.plots import ACCENT, INK, RULE, SECOND, save_figure, save_text, wrap
from training.classifier.calibration import Reliability


def draw_confusion_matrix(confusion: npt.NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draws a confusion matrix [classes, classes]; rows are the true classes, colours are shares of the row."""
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(11, 10))
    picture = axes.imshow(confusion / totals, cmap="Blues", vmin=0, vmax=1)
    labels = [f"{name} {class_id}" for class_id, name in enumerate(names)]
    axes.set_yticks(range(len(names)), labels, fontsize=7)
    axes.set_xticks(range(len(names)), [str(index) for index in range(len(names))], fontsize=7)
    axes.set(xlabel="predicted class", ylabel="true class")
    for row, column in zip(*np.nonzero(confusion), strict=True):
        colour = "white" if confusion[row, column] > totals[row, 0] / 2 else SECOND
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(picture, shrink=0.6, label="share of the true class")
    save_figure(figure, path)


def draw_recall(
    recall: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], names: Sequence[str], path: Path
) -> None:
    """Draws the recall of each class that has crops, the lowest at the top."""
    order = [int(index) for index in np.argsort(-np.nan_to_num(recall, nan=2.0), kind="stable") if counts[index]]
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.19 * len(order)))
    colours = [ACCENT if recall[index] == 1 else SECOND for index in order]
    axes.barh(range(len(order)), 100 * recall[order], color=colours, height=0.7)
    axes.set_yticks(range(len(order)), [f"{names[index]} ({counts[index]})" for index in order], fontsize=7)
    lowest = 100 * float(np.nanmin(recall))
    axes.set(xlabel="recall, % (number of crops in brackets)", xlim=(max(0.0, lowest - (100 - lowest) / 4 - 0.5), 100))
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.grid(axis="x")
    save_figure(figure, path)


def draw_reliability(table: Reliability, path: Path) -> None:
    """Draws a reliability diagram and the number of predictions in each bin."""
    filled = table.counts > 0
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(4.6, 5.2), sharex=True, gridspec_kw={"height_ratios": (3, 1), "hspace": 0.08}
    )
    upper.plot((0, 1), (0, 1), color=RULE, linewidth=1.5, zorder=0)
    upper.plot(table.confidence[filled], table.accuracy[filled], "o-", color=ACCENT, markersize=5)
    upper.set(ylabel="share that is right", ylim=(-0.03, 1.03), xlim=(0, 1.02))
    upper.set_title(f"expected calibration error {table.expected_calibration_error:.4f}", fontsize=11)
    edges = np.linspace(0, 1, len(table.counts) + 1)
    lower.bar(edges[:-1], table.counts, width=np.diff(edges) * 0.9, align="edge", color=ACCENT)
    lower.set(xlabel="confidence", ylabel="crops", yscale="log")
    lower.yaxis.set_major_formatter("{x:g}")
    lower.yaxis.set_minor_formatter(NullFormatter())
    lower.set_ylim(bottom=0.5)  # makes the bar of a single crop visible
    for axes in (upper, lower):
        axes.grid()
    save_figure(figure, path)


def draw_mistakes(
    images: npt.NDArray[np.uint8], captions: Sequence[tuple[str, str]], path: Path, columns: int = 8
) -> None:
    """Draws wrongly classified crops, uint8 [n, size, size, 3], each with its true and its predicted class."""
    count = len(images)
    if count == 0:
        return save_text("no mistakes", path)
    rows = -(-count // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(1.65 * columns, 2.4 * rows), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, (truth, answer) in zip(grid.flat, images, captions, strict=False):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(wrap(truth, 22), fontsize=7, color=INK, pad=3)
        below = wrap(answer, 22)
        axes.text(0.5, -0.06, below, transform=axes.transAxes, ha="center", va="top", fontsize=7, color=SECOND)
    save_figure(figure, path)
