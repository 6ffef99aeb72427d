"""The curves of a training run as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from traffic_signs.plots import ACCENT, RULE, SECOND, save_figure
from training.train import EpochReport


def draw_curves(curve: Sequence[EpochReport], path: Path, error: str = "error, %") -> None:
    """Draws loss and error by epoch: on the altered training examples, and on held-out ones where there are any.

    Args:
        curve: of one training.
        path: of the picture.
        error: what 1 minus the score is called.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    epochs = [report.epoch for report in curve]
    style: dict[str, Any] = {"linewidth": 2, "marker": "o" if len(epochs) == 1 else None}  # one point makes no line
    left.plot(epochs, [report.loss for report in curve], color=SECOND, label="altered training examples", **style)
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
        left.legend(frameon=False, fontsize=9)
    left.set(xlabel="epoch", title="loss", ylim=(0, None))
    right.set(xlabel="epoch", title=error)
    # From half the crops wrong to one in a thousand: only a logarithm shows both ends.
    right.set_yscale("symlog", linthresh=0.1)
    right.set_ylim(0, 100)
    right.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=RULE, linewidth=0.6)
        axes.title.set_fontsize(11)
    save_figure(figure, path)
