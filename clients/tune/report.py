"""What `signs export tune` shows and keeps: a table, tuning.json and a picture of all settings."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from export.tuning import Outcome, Setting
from training.plots import ACCENT, INK, RULE, SECOND, save_figure


def print_outcomes(
    console: Console, outcomes: Sequence[Outcome], budget_ms: float, present: Setting, chosen: Outcome | None
) -> None:
    """Prints all settings, the fastest first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("instances", "threads", "delay us", "batch", "images/s", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    for each in sorted(outcomes, key=lambda each: -each.throughput):
        setting = each.setting
        figures = ["-"] * 4
        if not each.problem:
            figures = [f"{value:,.1f}" for value in (each.throughput, each.p50_ms, each.p95_ms, each.p99_ms)]
        marks = ["chosen"] if chosen is not None and each.setting == chosen.setting else []
        marks += ["as it is now"] if setting == present else []
        marks += [each.problem] if each.problem else [] if each.p99_ms <= budget_ms else ["over the budget"]
        table.add_row(
            str(setting.instances),
            str(setting.threads or "all"),
            str(setting.queue_delay_us),
            str(setting.max_batch),
            *figures,
            "; ".join(marks),
            style="bold" if marks[:1] == ["chosen"] else "",
        )
    console.print(table, highlight=False)


def write_report(folder: Path, summary: dict[str, Any]) -> None:
    """Writes tuning.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / f".tuning.partial-{os.getpid()}"
    try:
        staging.write_text(json.dumps(summary, indent=2) + "\n")
        staging.replace(folder / "tuning.json")
    finally:
        staging.unlink(missing_ok=True)


def draw_outcomes(
    path: Path,
    outcomes: Sequence[Outcome],
    budget_ms: float,
    present: Setting,
    chosen: Outcome | None,
    title: str,
) -> None:
    """Draws throughput over p99, one point a setting, with the budget and the choice; bars span the rounds."""
    figure, axes = plt.subplots(figsize=(9, 5))
    working = [each for each in outcomes if not each.problem]
    marked = {present: "as it is now"} | ({chosen.setting: "chosen"} if chosen is not None else {})
    for each in working:
        color = ACCENT if each.p99_ms <= budget_ms else SECOND
        low, high = min(each.images_per_second), max(each.images_per_second)
        axes.vlines(each.p99_ms, low, high, color=color, linewidth=1, alpha=0.5)
        size = 90 if each.setting in marked else 28
        axes.scatter(each.p99_ms, each.throughput, s=size, color=color, zorder=3)
    for each in working:
        if each.setting in marked:
            axes.annotate(
                f"{marked[each.setting]}: {each.setting}",
                (each.p99_ms, each.throughput),
                xytext=(10, 10),
                textcoords="offset points",
                fontsize=9,
                zorder=4,
            )
    axes.axvline(budget_ms, color=INK, linewidth=1, linestyle="--")
    axes.annotate(
        f"budget {budget_ms:g} ms",
        (budget_ms, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -12),
        textcoords="offset points",
        fontsize=9,
    )
    axes.set(xlabel="p99 in milliseconds", ylabel="images a second", ylim=(0, None), title=title)
    axes.title.set_fontsize(11)
    axes.grid(color=RULE, linewidth=0.6)
    save_figure(figure, path)
