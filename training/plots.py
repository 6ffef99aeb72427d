"""Pictures of training runs. Each function writes one PNG."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")  # no screen needed

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

INK, ACCENT, SECOND, RULE = "#1f2933", "#154889", "#c1121c", "#d9dee4"

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.edgecolor": RULE,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 120,
        "savefig.bbox": "tight",
    }
)


def draw_curves(losses: Sequence[float], accuracies: Sequence[float], path: Path) -> None:
    """Draws loss and accuracy on the augmented training crops, by epoch."""
    epochs = range(1, len(losses) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    left.plot(epochs, losses, color=SECOND, linewidth=2)
    left.set(xlabel="epoch", title="training loss", ylim=(0, None))
    right.plot(epochs, np.multiply(accuracies, 100), color=ACCENT, linewidth=2)
    right.set(xlabel="epoch", title="accuracy on augmented training crops, %", ylim=(0, 101))
    for axes in (left, right):
        axes.grid(color=RULE, linewidth=0.6)
        axes.title.set_fontsize(11)
    save_figure(figure, path)


def draw_confusion_matrix(confusion: npt.NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draws a confusion matrix [classes, classes] whose rows are the truth, coloured by share of the row."""
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(11, 10))
    picture = axes.imshow(confusion / totals, cmap="Blues", vmin=0, vmax=1)
    labels = [f"{name} {class_id}" for class_id, name in enumerate(names)]
    axes.set_yticks(range(len(names)), labels, fontsize=7)
    axes.set_xticks(range(len(names)), [str(index) for index in range(len(names))], fontsize=7)
    axes.set(xlabel="predicted class", ylabel="true class")
    for row, column in zip(*np.nonzero(confusion), strict=True):
        light = confusion[row, column] > totals[row, 0] / 2
        axes.text(
            column,
            row,
            str(confusion[row, column]),
            ha="center",
            va="center",
            fontsize=6,
            color="white" if light else SECOND,
        )
    figure.colorbar(picture, shrink=0.6, label="share of the true class")
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as a picture and frees it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
