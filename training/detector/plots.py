"""Plots of a detector's evaluation. Each function writes one PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from traffic_signs.plots import ACCENT, INK, SECOND, save_figure, save_text, wrap
from training.detector.curves import Curve, OperatingPoint
from training.detector.evaluate import FEW_LABELS, DetectionEvaluation

# Distinguishable for people with red-green colour blindness, and in greyscale.
COLOURS = (SECOND, ACCENT, "#e0a100", "#5a6673", "#3a9d8f", "#8e5ea2", "#b08968", "#111111")

COLUMNS = 6


@dataclass(frozen=True)
class Tile:
    """One mistake as a picture."""

    image: npt.NDArray[np.uint8]  # uint8 [h, w, 3], RGB, a part of the scene
    found: npt.NDArray[np.float64]  # float64 [n, 4], boxes of detections in pixels of the tile
    labelled: npt.NDArray[np.float64]  # float64 [n, 4], boxes of labelled signs in pixels of the tile
    title: str
    caption: str  # below the tile; line breaks are kept


def draw_precision_recall(evaluation: DetectionEvaluation, path: Path) -> None:
    """Draws precision-recall curves at IoU 0.5: of each label, or of all together if there are many labels.

    The curves are the envelopes, whose areas are the averages; dots mark the chosen threshold. The axes begin at the
    lowest bend of the curves.
    """
    few = len(evaluation.labels) <= FEW_LABELS
    curves = [
        (label.curve50, label.chosen, f"{label.name}: AP {label.ap50:.3f} ({label.signs})")
        for label in evaluation.labels
        if few and label.signs
    ]
    if not few and evaluation.curve50.signs:
        name = f"{len(evaluation.labels)} labels together: area {evaluation.curve50.area:.3f}"
        curves = [(evaluation.curve50, evaluation.chosen, f"{name} ({evaluation.curve50.signs})")]
    if not curves:
        return save_text("no labelled signs", path)
    figure, axes = plt.subplots(figsize=(5.6, 4.6))
    lowest = _lowest([(curve, chosen) for curve, chosen, _ in curves])
    for position, ((curve, chosen, name), colour) in enumerate(zip(curves, COLOURS, strict=False)):
        # Decreasing line widths keep all curves visible where they overlap.
        width = 1.8 + 0.8 * (len(curves) - 1 - position)
        recall, precision = _outline(curve)
        axes.plot(recall, precision, color=colour, linewidth=width, drawstyle="steps-pre", label=name)
        if chosen.hits:
            dot: dict[str, Any] = {"color": colour, "markersize": 7, "markeredgecolor": "white", "zorder": 3}
            axes.plot(chosen.recall, chosen.precision, "o", **dot)
    margin = 0.03 * (1 - lowest)
    axes.set(xlim=(lowest, 1 + margin), ylim=(lowest, 1 + margin), xlabel="recall", ylabel="precision")
    axes.set_title("precision and recall at IoU 0.5", fontsize=11)
    axes.grid()
    axes.legend(loc="lower left")
    save_figure(figure, path)


def draw_sizes(evaluation: DetectionEvaluation, path: Path) -> None:
    """Draws the average precision at IoU 0.5 by size of the signs: the mean, and each label if there are few."""
    few = 1 < len(evaluation.labels) <= FEW_LABELS
    figure, axes = plt.subplots(figsize=(7.2, 3.6))
    bars = [
        (label.name, colour, [size.ap50[position] for size in evaluation.sizes])
        for position, (label, colour) in enumerate(zip(evaluation.labels, COLOURS, strict=False))
        if few and label.signs
    ]
    means = [size.metrics()[f"map50_{size.band.name}"] for size in evaluation.sizes]
    bars.append(("mean" if len(evaluation.labels) > 1 else evaluation.labels[0].name, INK, means))
    width = min(0.82 / len(bars), 0.4)
    places = np.arange(len(evaluation.sizes))
    for position, (name, colour, values) in enumerate(bars):
        heights = np.array(values, dtype=np.float64)
        centres = places + (position - (len(bars) - 1) / 2) * width
        axes.bar(centres, np.nan_to_num(heights), width=0.9 * width, color=colour, label=name)
        for centre, height in zip(centres, heights, strict=True):
            text = "none" if np.isnan(height) else f"{height:.2f}"
            axes.text(centre, np.nan_to_num(height) + 0.01, text, ha="center", va="bottom", fontsize=7)
    names = [
        f"{size.band.name}: {_range(size.band.lower, size.band.upper)}\n{int(size.signs.sum())} signs"
        for size in evaluation.sizes
    ]
    axes.set_xticks(places, names)
    axes.set(ylim=(0, 1.08), ylabel="average precision")
    axes.set_yticks(np.arange(0, 1.1, 0.2))
    axes.set_title("average precision at IoU 0.5 by the long side of the sign", fontsize=11)
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, path)


def draw_mistakes(sections: Sequence[tuple[str, Sequence[Tile]]], path: Path) -> None:
    """Draws tiles under their headings; detections have a solid red frame, labelled signs a dashed blue one."""
    heights: list[float] = []
    for _, tiles in sections:
        heights += [0.35, *[3.05] * -(-len(tiles) // COLUMNS)]
    figure = plt.figure(figsize=(2.15 * COLUMNS, sum(heights)))
    grid = figure.add_gridspec(len(heights), COLUMNS, height_ratios=heights, hspace=0.1, wspace=0.06)
    row = 0
    for heading, tiles in sections:
        axes = figure.add_subplot(grid[row, :])
        axes.axis("off")
        axes.text(0, 0, heading, fontsize=12, weight="bold", va="bottom")
        for position, tile in enumerate(tiles):
            _draw_tile(figure.add_subplot(grid[row + 1 + position // COLUMNS, position % COLUMNS]), tile)
        row += 1 + -(-len(tiles) // COLUMNS)
    save_figure(figure, path)


def _draw_tile(axes: Axes, tile: Tile) -> None:
    axes.imshow(tile.image, interpolation="nearest")
    # Boxes at the edge must not enlarge the view.
    axes.set(xlim=(-0.5, tile.image.shape[1] - 0.5), ylim=(tile.image.shape[0] - 0.5, -0.5), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for boxes, colour, dashes in ((tile.labelled, "#35d0ff", (4, 2)), (tile.found, "#ff2d3f", None)):
        for left, top, right, bottom in boxes:
            frame = Rectangle(
                (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, color=colour, linewidth=1.6
            )
            if dashes:
                frame.set_linestyle((0, dashes))
            # A dark outline makes the line visible on bright sky.
            frame.set_path_effects([patheffects.Stroke(linewidth=3.0, foreground=INK), patheffects.Normal()])
            axes.add_patch(frame)
    axes.set_title(wrap(tile.title, 27), fontsize=9, pad=3, loc="left")
    style: dict[str, Any] = {"va": "top", "fontsize": 8, "linespacing": 1.25}
    axes.text(0, -0.025, wrap(tile.caption, 27), transform=axes.transAxes, **style)


def _outline(curve: Curve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns recall and precision of the envelope, from recall 0 to the drop to precision 0."""
    recall = np.concatenate([[0.0], curve.recall, [curve.recall.max(initial=0.0)]])
    precision = np.concatenate([[curve.envelope.max(initial=0.0)], curve.envelope, [0.0]])
    return recall, precision


def _lowest(curves: Sequence[tuple[Curve, OperatingPoint]]) -> float:
    """Returns the start of the axes, so that the bends and the chosen points of all curves are visible."""
    points = [point for curve, chosen in curves for point in (curve.best(), chosen)]
    worst = min((min(point.precision, point.recall) for point in points if point.hits), default=0.0)
    # Twice the range of the lowest bend, in steps of 0.05, and at least 0.2, so that noise does not look large.
    return float(np.clip(np.floor((1 - max(2 * (1 - worst), 0.2)) * 20) / 20, 0, 1))


def _range(lower: float, upper: float) -> str:
    if not lower:
        return f"below {upper:.0f} pixels"
    return f"{lower:.0f} pixels or more" if np.isinf(upper) else f"{lower:.0f} to {upper:.0f} pixels"
