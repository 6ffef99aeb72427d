"""Matplotlib style of all plots: colours, fonts and axes."""

import textwrap
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
        "text.parse_math": False,  # names of classes and files may contain dollar signs
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "figure.dpi": 120,
        "savefig.bbox": "tight",
    }
)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as an image file and closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def save_text(text: str, path: Path) -> None:
    """Writes an image file with one line of text, in place of a plot of nothing."""
    figure, axes = plt.subplots(figsize=(5, 1))
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=12)
    axes.axis("off")
    save_figure(figure, path)


def wrap(text: str, width: int) -> str:
    """Wraps each line of a text to a number of characters."""
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))
