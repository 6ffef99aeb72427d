"""Shows the result of a study: tables for the terminal, a JSON file and a plot."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from scipy.stats import beta

from traffic_signs.console import Console, plain_table
from traffic_signs.plots import ACCENT, INK, RULE, SECOND, save_figure

COLOURS = (SECOND, "#e58e26", ACCENT, "#6fa8dc", "#2d8a56", "#8e5ea2", INK)


def write_study(output: Path, found: dict[str, Any]) -> list[Path]:
    """Writes study.json and study.png to a folder and returns their paths; `found` is the result of `study`."""
    figures, picture = output / "study.json", output / "study.png"
    figures.write_text(json.dumps(found, indent=1) + "\n")
    _draw(found, picture)
    return [figures, picture]


def print_study(console: Console, found: dict[str, Any]) -> None:
    """Prints both tables."""
    limits = found["limits"]
    console.print(
        f"{found['data']}: {found['scenes']} scenes with {found['signs']} signs found by "
        + " and ".join(f"{model} {version}" for model, version in found["models"].items())
        + f"; references of {found['reference']} scenes, alpha {limits['alpha']:g}, PSI from {limits['psi']:g}"
    )
    columns = ["windows", "alarms", "95% interval"]
    table = plain_table("nothing changed: a window of", *columns, right=columns)
    for row in found["false_alarms"]:
        low, high = interval(row["alarms"], row["windows"])
        table.add_row(row["traffic"], str(row["windows"]), str(row["alarms"]), f"{low:.2%} to {high:.2%}")
    console.print(table)
    columns = ["alarmed", "median", "90%", "all"]
    table = plain_table(f"what changed; a window of {found['window']} scenes", *columns, right=columns)
    table.add_column("first", style="dim")
    for row in found["delays"]:
        delays = np.array(row["delays"])
        numbers = [f"{number:.0f}" for number in np.quantile(delays, [0.5, 0.9, 1.0])] if len(delays) else [""] * 3
        first = sorted(row["features"], key=row["features"].get, reverse=True)[:2]
        table.add_row(row["change"], f"{len(delays)} of {row['streams']}", *numbers, ", ".join(first))
    console.print(table)


def interval(events: int, trials: int) -> tuple[float, float]:
    """Returns the 95% interval of a share: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934)."""
    low = float(beta.ppf(0.025, events, trials - events + 1)) if events else 0.0
    high = float(beta.ppf(0.975, events + 1, trials - events)) if events < trials else 1.0
    return low, high


def _draw(found: dict[str, Any], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    _draw_calibration(left, found)
    _draw_delays(right, found)
    for axes in (left, right):
        axes.grid(color=RULE, linewidth=0.6)
        axes.title.set_fontsize(11)
    save_figure(figure, path)


def _draw_calibration(axes: Axes, found: dict[str, Any]) -> None:
    levels = np.logspace(-5, 0, 250)
    for row, colour in zip(found["false_alarms"], (ACCENT, "#6fa8dc", "#2d8a56", SECOND, "#e58e26"), strict=False):
        values = np.array(row["p_values"])
        share = (values[None] < levels[:, None]).mean(axis=1)
        axes.plot(levels[share > 0], share[share > 0], color=colour, linewidth=2, label=row["traffic"])
    axes.plot(levels, levels, color=INK, linewidth=1, linestyle=":", label="expected")
    axes.axvline(found["limits"]["alpha"], color=INK, linewidth=1, linestyle="--")
    axes.set(
        xscale="log", yscale="log", xlabel="alpha", ylabel="share of windows below it", title="windows without drift"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=8)


def _draw_delays(axes: Axes, found: dict[str, Any]) -> None:
    end = 2 * found["window"]
    for row, colour in zip(found["delays"], (INK, *COLOURS), strict=False):
        delays = np.sort(np.array([*row["delays"]], np.float64))
        share = np.arange(1, len(delays) + 1) / row["streams"]
        steps = np.concatenate([[0], delays, [end]]), np.concatenate([[0], share, share[-1:] if len(share) else [0]])
        axes.step(*steps, where="post", color=colour, linewidth=2, label=row["change"])
    axes.axvline(found["window"], color=INK, linewidth=1, linestyle="--")
    axes.set(
        xlabel="photographs since the change",
        ylabel="share of streams that alarmed",
        title=f"windows of {found['window']} scenes; dashed: full of changed ones",
        xlim=(0, end),
        ylim=(-0.02, 1.02),
    )
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.08))
