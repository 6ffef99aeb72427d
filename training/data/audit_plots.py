"""Plots of an audit. Each function writes one PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from traffic_signs.plots import ACCENT, INK, SECOND, save_figure
from training.data.audit import Audit, Comparison, DatasetFacts
from training.data.records import SPLITS, Split

COLOURS: dict[Split, str] = {"train": ACCENT, "test": SECOND}
SHEET_COLUMNS, SHEET_CROPS = 4, 8
PAIR_COLUMNS, SHOWN_PAIRS = 6, 36
# In inches.
SHEET_TITLE, CELL_WIDTH, CELL_TITLE, CELL_LINE = 0.6, 4.0, 0.3, 0.5
PAIRS_TITLE, PAIR_WIDTH, PAIR_HEIGHT = 0.6, 2.1, 1.35
GAP = 2  # pixels between two crops of a strip


def draw_contact_sheet(audit: Audit, path: Path) -> None:
    """Draws some crops of every class, one row per data set, with the number of signs."""
    rng = np.random.default_rng(0)
    lines = len(audit.data_sets)
    class_names = audit.data_sets[0].classes.names
    rows = -(-len(class_names) // SHEET_COLUMNS)
    width, height = SHEET_COLUMNS * CELL_WIDTH, SHEET_TITLE + rows * (CELL_TITLE + CELL_LINE * lines)
    figure, axes = _sheet(width, height)
    for class_id, class_name in enumerate(class_names):
        column, row = divmod(class_id, rows)  # the class ids run down the columns
        left, top = column * CELL_WIDTH, SHEET_TITLE + row * (CELL_TITLE + CELL_LINE * lines)
        strips = [_strip(_choose(audit, facts.name, class_id, rng), SHEET_CROPS) for facts in audit.data_sets]
        sheet = np.vstack([np.pad(strip, ((0, GAP), (0, 0), (0, 0)), constant_values=255) for strip in strips])[:-GAP]
        _show(axes, sheet, left, top, CELL_WIDTH - 0.1, CELL_LINE * lines)
        counts = [sum(each.signs_per_class[class_id] for each in facts.splits.values()) for facts in audit.data_sets]
        numbers = " and ".join(f"{count:,}" for count in counts)
        colour = INK if all(counts) else SECOND
        axes.text(left, top - 0.05, f"{class_id}  {class_name}  ({numbers})", fontsize=8, color=colour)
    names = " and ".join(facts.name for facts in audit.data_sets)
    below = ", one below the other" if lines > 1 else ""
    title = f"Up to {SHEET_CROPS} signs of each class at random, and how many there are: {names}{below}"
    axes.text(width / 2, 0.2, title, fontsize=12, ha="center")
    save_figure(figure, path)


def draw_sizes(data_sets: Sequence[DatasetFacts], path: Path) -> None:
    """Draws the distribution of the signs' sizes: a panel for each data set, a line for each split."""
    figure, panels = plt.subplots(1, len(data_sets), figsize=(5.2 * len(data_sets), 3.2), squeeze=False)
    for axes, facts in zip(panels.flat, data_sets, strict=True):
        largest = max((max(each.long_sides, default=0) for each in facts.splits.values()), default=0)
        edges = np.arange(0, largest + 8, 4 if largest <= 150 else 8)
        for split, each in facts.splits.items():
            if each.long_sides:
                shares = 100 * np.array(list(each.long_sides.values())) / each.signs
                style: dict[str, Any] = {"histtype": "step", "linewidth": 1.8, "color": COLOURS[split]}
                axes.hist(list(each.long_sides), edges, weights=shares, label=f"{split}, {each.signs:,} signs", **style)
        if not largest:
            axes.text(0.5, 0.5, "no labelled signs", ha="center", va="center", transform=axes.transAxes)
        axes.set(xlabel="long side of the sign, pixels", ylabel="share of the split, %", title=facts.name)
        _tidy(axes)
    save_figure(figure, path)


def draw_classes(data_sets: Sequence[DatasetFacts], path: Path) -> None:
    """Draws the number of signs of each class: a panel for each data set, a bar for each split."""
    figure, panels = plt.subplots(1, len(data_sets), figsize=(3 + 4 * len(data_sets), 8.5), sharey=True, squeeze=False)
    class_names = data_sets[0].classes.names
    positions = np.arange(len(class_names))
    for axes, facts in zip(panels.flat, data_sets, strict=True):
        for offset, split in ((-0.2, SPLITS[0]), (0.2, SPLITS[1])):
            if split in facts.splits:
                each = facts.splits[split]
                label = f"{split}, {each.signs:,} signs"
                axes.barh(positions + offset, each.signs_per_class, height=0.4, color=COLOURS[split], label=label)
        axes.set_yticks(positions, [f"{class_id}  {name}" for class_id, name in enumerate(class_names)], fontsize=7)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(class_names) - 0.4, -0.6)
        axes.set(xlabel="signs", title=facts.name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _tidy(axes, grid="x")
    save_figure(figure, path)


def draw_leakage(audit: Audit, path: Path) -> None:
    """Draws test signs beside the training crops that repeat them, by descending correlation; of many, a sample."""
    found = [comparison for comparison in audit.comparisons if comparison.leakage.repeats]
    rows = [-(-min(len(comparison.leakage.repeats), SHOWN_PAIRS) // PAIR_COLUMNS) for comparison in found]
    width = PAIR_COLUMNS * PAIR_WIDTH
    figure, axes = _sheet(width, sum(PAIRS_TITLE + count * PAIR_HEIGHT for count in rows))
    top = 0.0
    for comparison, count in zip(found, rows, strict=True):
        pairs = len(comparison.leakage.repeats)
        excerpt = f"; {SHOWN_PAIRS} of {pairs:,} pairs" if pairs > SHOWN_PAIRS else ""
        title = (
            f"{comparison.repeated_signs} of {comparison.test_signs:,} test signs of {comparison.test} (left "
            f"of each pair) stand in the training split of {comparison.train} (right){excerpt}"
        )
        axes.text(width / 2, top + PAIRS_TITLE / 2, title, fontsize=11, ha="center")
        for place, (strip, caption) in enumerate(_pairs(audit, comparison)):
            row, column = divmod(place, PAIR_COLUMNS)
            left, above = column * PAIR_WIDTH, top + PAIRS_TITLE + row * PAIR_HEIGHT
            axes.text(left, above + 0.25, caption, fontsize=7)
            _show(axes, strip, left, above + 0.3, PAIR_WIDTH - 0.1, PAIR_HEIGHT - 0.4)
        top += PAIRS_TITLE + count * PAIR_HEIGHT
    save_figure(figure, path)


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure with one axes, in inches from its top left; an axes for each picture would take much longer."""
    figure, axes = plt.subplots(figsize=(width, height))
    axes.set_position((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure, axes


def _show(axes: Axes, image: npt.NDArray[np.uint8], left: float, top: float, width: float, height: float) -> None:
    """Shows an image in a sheet, as large as fits into a rectangle."""
    inches = min(width / image.shape[1], height / image.shape[0])
    extent = (left, left + inches * image.shape[1], top + inches * image.shape[0], top)
    axes.imshow(image, interpolation="bilinear", aspect="auto", extent=extent)


def _pairs(audit: Audit, comparison: Comparison) -> list[tuple[npt.NDArray[np.uint8], str]]:
    train, test = audit.signs[comparison.train, "train"], audit.signs[comparison.test, "test"]
    repeats = comparison.leakage.repeats
    chosen = np.linspace(0, len(repeats) - 1, min(len(repeats), SHOWN_PAIRS)).round().astype(int)
    pairs = []
    for index in chosen.tolist():
        repeat = repeats[index]
        strip = _strip([test.crops.images[repeat.test], train.crops.images[repeat.train]], 2)
        test_image, track = Path(test.images[repeat.test]).name, Path(train.crops.sources[repeat.train]).name
        pairs.append((strip, f"{repeat.correlation:.3f}  {test_image}\n{track}"))
    return pairs


def _choose(audit: Audit, name: str, class_id: int, rng: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
    """Returns some crops of a class, from both splits of a data set."""
    parts = [audit.signs[name, split].crops for split in SPLITS if (name, split) in audit.signs]
    images = [crops.images[index] for crops in parts for index in np.flatnonzero(crops.class_ids == class_id)]
    chosen = rng.permutation(len(images))[:SHEET_CROPS]
    return [images[index] for index in sorted(chosen.tolist())]


def _strip(images: Sequence[npt.NDArray[np.uint8]], places: int) -> npt.NDArray[np.uint8]:
    """Returns crops side by side on white, padded to `places` crops."""
    side = images[0].shape[0] if images else 48
    strip = np.full((side, places * (side + GAP) - GAP, 3), 255, np.uint8)
    for place, image in enumerate(images):
        left = place * (side + GAP)
        strip[:, left : left + side] = image
    return strip


def _tidy(axes: Axes, grid: str = "both") -> None:
    axes.title.set_fontsize(11)
    axes.title.set_color(INK)
    axes.grid(axis=grid)  # type: ignore[arg-type]
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
