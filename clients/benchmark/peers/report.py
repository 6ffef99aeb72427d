"""The report of a comparison: peers.json, peers.md and report.html."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter

from clients.benchmark.environment import busy_notice
from clients.benchmark.page import embed, render
from clients.benchmark.peers.exchange import TASKS
from clients.benchmark.peers.figures import BUSY
from clients.benchmark.peers.servers import TRITON
from clients.benchmark.peers.table import hardware, markdown, ranked, sentences, task_title
from traffic_signs.atomic_write import write_whole
from traffic_signs.plots import ACCENT, INK, RULE

COLORS = ("#c1121c", "#d9822b", "#6f8f2f", "#2a9d8f", "#7b5ea7", "#8a8f98")  # of the others; Triton has the accent


def write_report(folder: Path, summary: Mapping[str, Any]) -> None:
    """Writes the three files; `summary` is the content of peers.json."""
    tasks = summary["tasks"]
    page = render(
        Path(__file__).with_name("report.html.j2"),
        summary=summary,
        titles={name: task_title(name, summary["plan"]) for name in TASKS},
        hardware=hardware(summary),
        note=busy_notice(summary["machine"]),
        ranked={name: ranked(task) for name, task in tasks.items()},
        sentences={name: [each.removeprefix("- ") for each in sentences(task)] for name, task in tasks.items()},
        plots={name: _draw(task) for name, task in tasks.items()},
        busy=BUSY,
    )
    write_whole(folder / "peers.json", json.dumps(summary, indent=2) + "\n")
    write_whole(folder / "peers.md", markdown(summary))
    write_whole(folder / "report.html", page)


def _draw(task: Mapping[str, Any]) -> str:
    """Draws throughput and p99 over the number of clients, and p99 at fixed rates; returns the source of an <img>."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6))
    # Each server keeps its colour if another one is missing.
    colors = dict(zip([name for name in task["servers"] if name != TRITON], COLORS, strict=False)) | {TRITON: ACCENT}
    for name in ranked(task):
        server = task["servers"][name]
        style = {"color": colors[name], "linewidth": 2.6 if name == TRITON else 1.5, "marker": "o", "markersize": 4}
        closed = [each for each in server["medians"] if each["clients"]]
        numbers = [each["clients"] for each in closed]
        axes[0].plot(numbers, [each["throughput"] for each in closed], label=server["title"], **style)
        axes[1].plot(numbers, [each["p99_ms"] for each in closed], **style)
        rates = [each for each in server["medians"] if each["rate"] and each["keeps_up"]]
        axes[2].plot([each["rate"] for each in rates], [each["p99_ms"] for each in rates], **style)
    axes[0].axhline(task["limit"]["throughput"], color=INK, linestyle="--", linewidth=1, label="in process")
    axes[0].set(xlabel="clients", ylabel="answers a second", title="Throughput", ylim=(0, None))
    axes[1].set(xlabel="clients", ylabel="p99 in milliseconds", title="Slowest 1 of 100")
    axes[2].set(xlabel="requests a second", ylabel="p99 in milliseconds", title="At a fixed rate, where it keeps up")
    for each in axes:
        _tidy(each)
    figure.legend(frameon=False, loc="lower center", ncols=4, bbox_to_anchor=(0.5, -0.14))
    return embed(figure, "image/png")


def _tidy(axes: Axes) -> None:
    axes.grid(color=RULE, linewidth=0.6)
    axes.title.set_fontsize(11)
    if axes.get_ylabel().startswith("p99") and axes.has_data():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(FormatStrFormatter("%g"))
        axes.tick_params(axis="y", which="minor", labelsize=7)
