"""Draws what the panels of a dashboard would show, for people to look at where there is no Grafana.

SIGNS_DRAW_DASHBOARDS=FOLDER pytest tests/end_to_end/test_monitoring_chain.py -k dashboard
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.monitoring.dashboard_files import Dashboard
from tests.monitoring.programs import get_json

matplotlib.use("Agg")

LOOK_BACK_S = 30
CELL_WIDTH, CELL_HEIGHT = 0.9, 0.42  # inches of a cell of Grafana's grid


def draw_dashboard(prometheus: str, dashboard: Dashboard, fill_in: Callable[[str], str], folder: Path) -> Path:
    """Draws all panels where they stand on the grid; returns the picture.

    Args:
        prometheus: address of Prometheus.
        dashboard: to draw.
        fill_in: puts values in place of variables.
        folder: for the picture.
    """
    places = [panel["gridPos"] for panel in dashboard.content["panels"]]
    rows = max(place["y"] + place["h"] for place in places)
    figure = Figure(figsize=(24 * CELL_WIDTH, rows * CELL_HEIGHT), dpi=60)
    for panel in dashboard.content["panels"]:
        place = panel["gridPos"]
        bounds = (place["x"] / 24, 1 - (place["y"] + place["h"]) / rows, place["w"] / 24, place["h"] / rows)
        if panel["type"] == "row":
            figure.text(bounds[0] + 0.005, bounds[1] + bounds[3] / 3, panel["title"], fontsize=16, weight="bold")
            continue
        axes = figure.add_axes((bounds[0] + 0.035, bounds[1] + 0.022, bounds[2] - 0.045, bounds[3] - 0.038))
        axes.set_title(
            f"{panel['title']} [{panel['fieldConfig']['defaults'].get('unit', '')}]", fontsize=10, loc="left"
        )
        _DRAW[panel["type"]](axes, panel, prometheus, fill_in)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dashboard.name}.png"
    figure.savefig(path)
    return path


def _draw_lines(axes: Axes, panel: dict[str, Any], prometheus: str, fill_in: Callable[[str], str]) -> None:
    now = time.time()
    for target in panel["targets"]:
        window = {"start": f"{now - LOOK_BACK_S}", "end": f"{now}", "step": "1"}
        found = get_json(f"{prometheus}/api/v1/query_range", query=fill_in(target["expr"]), **window)
        for series in found["data"]["result"]:
            points = np.array(series["values"], dtype=float)
            axes.plot(points[:, 0] - now, points[:, 1], label=_name(target, series), linewidth=1)
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])[1:]:
        axes.axhline(step["value"], color="red", linestyle="dashed", linewidth=1)
    defaults = panel["fieldConfig"]["defaults"]
    if defaults.get("custom", {}).get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    elif defaults.get("custom", {}).get("axisSoftMin") == 0:
        axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6, loc="upper left")


def _draw_numbers(axes: Axes, panel: dict[str, Any], prometheus: str, fill_in: Callable[[str], str]) -> None:
    mappings = panel["fieldConfig"]["defaults"].get("mappings", [])
    words = mappings[0]["options"] if mappings else {}
    shown = []
    for target in panel["targets"]:
        found = get_json(f"{prometheus}/api/v1/query", query=fill_in(target["expr"]))
        for series in found["data"]["result"]:
            value = f"{float(series['value'][1]):.4g}"
            shown.append(f"{_name(target, series)}: {words.get(value, {}).get('text', value)}")
    axes.text(0.02, 0.5, "\n".join(shown), fontsize=13, va="center")
    axes.set_axis_off()


def _draw_table(axes: Axes, panel: dict[str, Any], prometheus: str, fill_in: Callable[[str], str]) -> None:
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for target in panel["targets"]:
        found = get_json(f"{prometheus}/api/v1/query", query=fill_in(target["expr"]))
        for series in found["data"]["result"]:
            labels = {key: value for key, value in series["metric"].items() if key != "__name__"}
            row = rows.setdefault(tuple(labels.values()), {})
            row[target["legendFormat"]] = f"{float(series['value'][1]):.6g}"
    names = [target["legendFormat"] for target in panel["targets"]]
    cells = [[*labels, *(row.get(name, "") for name in names)] for labels, row in sorted(rows.items())]
    axes.table(cells, colLabels=["Model", "Version", *names], loc="center")
    axes.set_axis_off()


def _name(target: dict[str, Any], series: dict[str, Any]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: series["metric"].get(found[1], ""), target["legendFormat"])


_DRAW = {"timeseries": _draw_lines, "stat": _draw_numbers, "table": _draw_table}
