"""The plots of a report, as SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from clients.benchmark.figures import QUANTILES
from clients.benchmark.page import embed
from traffic_signs.plots import RULE

SOFT = "#5b6875"
LINES = ("#154889", "#c1121c", "#2e7d4f", "#b8860b", "#6b4c9a", "#1f7a8c")
DASHES: dict[str, Any] = {"grpc": "-", "http": (0, (4, 2))}
# In the order of a request; neighbours are easy to distinguish.
COLOURS = {
    "client": "#7b8794",
    "network": "#cbd2d9",
    "queue": "#f0b429",
    "input": "#2e7d4f",
    "inference": "#154889",
    "output": "#b44593",
}
NAMES = {"client": "client: writing and reading", "network": "network and endpoint"}  # the others are their own
INSIDE = ("#4a7fc1", "#9dc3ec", "#c9def4")  # the models that the inference waits for
ROOM = 1.25  # factor around the extremes, for the numbers beside the dots
DECADE, FEW, MANY = 10, (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)  # ticks of a long and of a short axis
STYLE: dict[Any, Any] = {"svg.hashsalt": "signs bench"}  # the same figures give the same file

Points = Sequence[Mapping[str, Any]]


def draw_curves(points: Points, limit: float | None) -> str:
    """Draws latency over throughput: a line for each protocol and batch, a dot for each number of clients.

    Args:
        points: the points of one model in report.json.
        limit: pictures per second of ONNX Runtime in process, if measured.
    """
    batches = sorted({each["batch"] for each in points})
    lines: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for each in sorted(points, key=lambda each: int(each["concurrency"])):
        lines.setdefault((each["protocol"], each["batch"]), []).append(each)
    ends = ("min", "max")
    rates = [each["images_per_second"][end] for each in points for end in ends] + ([limit] if limit else [])
    times = [each["latency_ms"][quantile][end] for each in points for quantile in QUANTILES for end in ends]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, 3, figsize=(11, 4.1), sharex=True, sharey=True, subplot_kw={"xscale": "log", "yscale": "log"}
        )
        # Not left to matplotlib, which has no room to lay around a single point.
        axes[0].set(xlim=(min(rates) / ROOM, max(rates) * ROOM), ylim=(min(times) / ROOM, max(times) * ROOM))
        for place, quantile in zip(axes, QUANTILES, strict=True):
            for (protocol, batch), line in lines.items():
                style = {"color": LINES[batches.index(batch) % len(LINES)], "linestyle": DASHES[protocol]}
                _draw_line(place, line, quantile, label=f"{protocol}, batch {batch}", **style)
            if limit:
                place.axvline(limit, color=SOFT, linewidth=1.2, linestyle=":", label="ONNX Runtime in process")
            place.set(title=quantile, xlabel="images a second")
            place.title.set_fontsize(11)
            place.grid(color=RULE, linewidth=0.6, which="major")
            for axis, values in ((place.xaxis, rates), (place.yaxis, times)):
                axis.set_major_locator(LogLocator(subs=FEW if max(values) > DECADE * min(values) else MANY))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel("milliseconds for one request")
        figure.tight_layout(rect=(0, 0.1, 1, 1))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=min(5, len(labels)), handlelength=3)
        return embed(figure, "image/svg+xml", bbox_inches="tight", metadata={"Date": None})


def _draw_line(axes: Axes, line: Points, quantile: str, color: str, **style: Any) -> None:
    """Draws the medians, thin bars that span the rounds, and the number of clients beside each dot."""
    rates = [each["images_per_second"] for each in line]
    times = [each["latency_ms"][quantile] for each in line]
    x, y = [each["median"] for each in rates], [each["median"] for each in times]
    axes.plot(x, y, color=color, linewidth=1.6, marker="o", markersize=4, **style)
    axes.hlines(y, [each["min"] for each in rates], [each["max"] for each in rates], color=color, alpha=0.4)
    axes.vlines(x, [each["min"] for each in times], [each["max"] for each in times], color=color, alpha=0.4)
    for each, across, up in zip(line, x, y, strict=True):
        axes.annotate(
            str(each["concurrency"]), (across, up), (4, 4), textcoords="offset points", fontsize=8, color=color
        )


def draw_parts(points: Points) -> str:
    """Draws where the mean time of a request went, for each point of one model in report.json."""
    called = list(points[0]["inside_ms"])
    names = [NAMES.get(part, part) for part in COLOURS]
    place = names.index("inference")
    if called:
        names[place : place + 1] = ["inference: its own", *(f"inference: {each}" for each in called)]
    colours = [*COLOURS.values()]
    colours[place + 1 : place + 1] = [INSIDE[number % len(INSIDE)] for number in range(len(called))]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(11, 0.9 + 0.3 * len(points)))
        rows = [_stack(each) for each in points]
        ends = [0.0] * len(rows)
        for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
            shares = [100 * row[number] / (sum(row) or 1) for row in rows]
            axes.barh(range(len(rows)), shares, left=ends, color=colour, height=0.68, label=name)
            ends = [end + share for end, share in zip(ends, shares, strict=True)]
        labels = [f"{p['protocol']}, batch {p['batch']}, {p['concurrency']} at a time" for p in points]
        axes.set_yticks(range(len(rows)), labels, fontsize=9)
        for number, row in enumerate(rows):
            axes.text(101, number, f"{sum(row):,.1f} ms", va="center", fontsize=9)
        axes.invert_yaxis()
        axes.set(xlim=(0, 100), xlabel="% of the mean time of a request, which is at the right")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(4, len(names)), borderaxespad=0.2)
        return embed(figure, "image/svg+xml", bbox_inches="tight", metadata={"Date": None})


def _stack(point: Mapping[str, Any]) -> list[float]:
    """Returns milliseconds of each part; the called models have their own, which the inference then lacks."""
    parts = {name: float(point["parts_ms"][name]["median"]) for name in COLOURS}
    inside = [float(value["median"]) for value in point["inside_ms"].values()]
    # Averages over slightly different requests: their sum may be a little more than the whole.
    scale = min(1.0, parts["inference"] / sum(inside)) if sum(inside) else 1.0
    inside = [scale * value for value in inside]
    stack = []
    for name, value in parts.items():
        stack += [max(0.0, value - sum(inside)), *inside] if name == "inference" else [value]
    return stack
