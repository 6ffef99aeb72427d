"""The reports of `signs export tune`: a table, tuning.json and a picture of all settings."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from export.tuning.plan import Outcome, Setting
from traffic_signs.atomic_write import write_whole
from traffic_signs.console import Console, plain_table
from traffic_signs.plots import ACCENT, INK, RULE, SECOND, save_figure


def print_outcomes(
    console: Console, outcomes: Sequence[Outcome], budget_ms: float, present: Setting, chosen: Outcome | None
) -> None:
    """Prints all settings, the fastest first."""
    columns = ("instances", "threads", "delay us", "batch", "images/s", "p50 ms", "p95 ms", "p99 ms")
    table = plain_table(*columns, "", right=columns)
    for each in sorted(outcomes, key=lambda each: -each.throughput):
        figures = (each.throughput, each.p50_ms, each.p95_ms, each.p99_ms)
        over = not each.problem and each.p99_ms > budget_ms
        marks = {
            "chosen": chosen is not None and each.setting == chosen.setting,
            "over": over,
            "fails": bool(each.problem),
            "now": each.setting == present,
        }
        table.add_row(
            str(each.setting.instances),
            str(each.setting.threads or "all"),
            str(each.setting.queue_delay_us),
            str(each.setting.max_batch),
            *("-" if each.problem else f"{value:,.1f}" for value in figures),
            ", ".join(name for name, is_so in marks.items() if is_so),
        )
    console.print(table)
    for each in outcomes:
        if each.problem:
            console.print(f"{each.setting}: {each.problem}", soft_wrap=True)


def write_report(folder: Path, summary: dict[str, Any]) -> None:
    """Writes tuning.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "tuning.json", json.dumps(summary, indent=2) + "\n")


def draw_outcomes(
    path: Path,
    outcomes: Sequence[Outcome],
    budget_ms: float,
    present: Setting,
    chosen: Outcome | None,
    title: str,
) -> None:
    """Draws throughput over p99, a point for each setting, with the budget, the choice and the present setting.

    Bars span the rounds.
    """
    figure, axes = plt.subplots(figsize=(9, 5))
    working = [each for each in outcomes if not each.problem]
    for label, color, group in (
        ("within the budget", ACCENT, [each for each in working if each.p99_ms <= budget_ms]),
        ("over the budget", SECOND, [each for each in working if each.p99_ms > budget_ms]),
    ):
        if group:
            x = [each.p99_ms for each in group]
            spans = [(min(each.images_per_second), max(each.images_per_second)) for each in group]
            axes.vlines(x, *zip(*spans, strict=True), color=color, linewidth=1, alpha=0.45)
            axes.scatter(x, [each.throughput for each in group], s=26, color=color, label=label, zorder=3)
    marks = [("as it is now", "D", 130, each) for each in working if each.setting == present]
    marks += [("chosen", "o", 260, each) for each in working if chosen is not None and each.setting == chosen.setting]
    for label, marker, size, each in marks:
        axes.scatter(
            each.p99_ms,
            each.throughput,
            s=size,
            marker=marker,
            facecolors="none",
            edgecolors=INK,
            linewidths=1.6,
            zorder=4,
            label=f"{label}: {each.setting}",
        )
    axes.axvline(budget_ms, color=INK, linewidth=1, linestyle="--", label=f"budget: {budget_ms:g} ms")
    axes.set_xscale("log")  # from a tenth of the budget to ten times as much
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="p99 in milliseconds", ylabel="images a second", ylim=(0, None), title=title)
    axes.title.set_fontsize(11)
    axes.grid(color=RULE, linewidth=0.6)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2, labelspacing=0.9)
    save_figure(figure, path)
