"""Matplotlib style of all plots: colours, fonts and axes."""

from pathlib import Path

import matplotlib

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


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as an image file and closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
