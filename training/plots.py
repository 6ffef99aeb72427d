"""Plots of training curves and of robustness."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from traffic_signs.plots import ACCENT, RULE, SECOND, save_figure
from training.train import EpochReport


def draw_curves(curve: Sequence[EpochReport], path: Path, error: str = "error, %") -> None:
    """Draws loss and error by epoch, on the augmented training examples and on held-out ones if there are any.

    `error` is the label of the axis of 1 minus the score.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    epochs = [report.epoch for report in curve]
    style: dict[str, Any] = {"linewidth": 2, "marker": "o" if len(epochs) == 1 else None}  # a single point has no line
    left.plot(epochs, [report.loss for report in curve], color=SECOND, label="augmented training examples", **style)
    right.plot(epochs, [100 * (1 - report.score) for report in curve], color=SECOND, **style)
    watched = [
        (report.epoch, report.validation_loss, 100 * (1 - report.validation_score))
        for report in curve
        if report.validation_loss is not None and report.validation_score is not None
    ]
    if watched:
        watched_epochs, losses, errors = zip(*watched, strict=True)
        left.plot(watched_epochs, losses, color=ACCENT, label="held out", **style)
        right.plot(watched_epochs, errors, color=ACCENT, **style)
        left.legend()
    left.set(xlabel="epoch", title="loss", ylim=(0, None))
    right.set(xlabel="epoch", title=error)
    # Logarithmic: the error falls from a half to a thousandth.
    right.set_yscale("symlog", linthresh=0.1)
    right.set_ylim(0, 100)
    right.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
        axes.title.set_fontsize(11)
    save_figure(figure, path)


def draw_robustness(clean: float, corruptions: Mapping[str, Sequence[float]], measure: str, path: Path) -> None:
    """Draws a figure by the strength of each corruption; strength 0 is the original image.

    All figures are 0 to 1; `measure` is their name.
    """
    columns = 3
    rows = -(-len(corruptions) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(9, 2.3 * rows), sharex=True, sharey=True, squeeze=False)
    for axes, (name, values) in zip(grid.flat, corruptions.items(), strict=False):
        axes.axhline(100 * clean, color=RULE, linewidth=1.5)
        axes.plot(
            range(len(values) + 1), [100 * each for each in (clean, *values)], color=ACCENT, linewidth=2, marker="o"
        )
        axes.set_title(name, fontsize=11)
        axes.grid()
    grid[0, 0].set(ylim=(0, 103))
    for axes in grid[-1]:
        axes.set_xlabel("strength")
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{measure}, %")
    save_figure(figure, path)
