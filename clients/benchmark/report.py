"""The report folder of `signs bench`: report.json, report.csv and report.html."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients.benchmark.figures import measured_by_model
from clients.benchmark.perf_analyzer import LATENCIES, PARTS
from clients.benchmark.plan import Point
from traffic_sign_client.errors import ClientError
from traffic_signs.atomic_write import write_whole

JSON = "report.json"
MANY = 100  # requests that a p99 needs


def prepare_folder(folder: Path) -> None:
    """Makes the folder of a report, before the measurement.

    Raises:
        ClientError: it holds a report already.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / JSON).exists():
        raise ClientError(f"{folder} holds a report already, which stays: give another folder with --output")
    write_whole(folder / JSON, "")
    (folder / JSON).unlink()


def write_json(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes report.json."""
    write_whole(folder / JSON, json.dumps(report, indent=2) + "\n")


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes report.json, report.csv and report.html."""
    write_json(folder, report)
    write_whole(folder / "report.csv", to_csv(report))
    write_whole(folder / "report.html", to_html(report))


def to_csv(report: Mapping[str, Any]) -> str:
    """Returns a row for each point: medians over the rounds, with the lowest and highest pictures per second."""
    output = io.StringIO()
    rates = {"images_per_second": "median", "images_per_second_min": "min", "images_per_second_max": "max"}
    times = [f"{each}_ms" for each in (*LATENCIES, *PARTS)]
    names = [*Point._fields, "rounds", "requests", *rates, *times, "mean_batch", "share_of_limit", "problem"]
    writer = csv.DictWriter(output, names, lineterminator="\n")
    writer.writeheader()
    for each in report["points"]:
        row = {name: each[name] for name in (*Point._fields, "problem")}
        if "images_per_second" in each:
            row |= {"rounds": len(each["rounds"]), "requests": each["requests"]}
            row |= {name: round(each["images_per_second"][end], 3) for name, end in rates.items()}
            figures = {**each["latency_ms"], **each["parts_ms"]}
            row |= {f"{name}_ms": round(value["median"], 4) for name, value in figures.items()}
            row["mean_batch"] = round(each["mean_batch"], 2)
            row["share_of_limit"] = round(each["share_of_limit"], 4) if "share_of_limit" in each else ""
        writer.writerow(row)
    return output.getvalue()


def to_html(report: Mapping[str, Any]) -> str:
    """Returns the page, with its pictures inside."""
    from clients.benchmark.charts import draw_curves, draw_parts
    from clients.benchmark.page import render

    models = []
    for name, points in measured_by_model(report).items():
        limit = (report["limit"] or {}).get("images_per_second") if any("share_of_limit" in p for p in points) else None
        models.append(
            {
                "name": name,
                "points": points,
                "best": max(points, key=lambda each: float(each["images_per_second"]["median"])),
                "quickest": min(points, key=lambda each: float(each["latency_ms"]["p50"]["median"])),
                "curves": draw_curves(points, limit),
                "parts": draw_parts(points),
                "inside": list(points[0]["inside_ms"]),
                "limit": limit,
                "few": any(each["requests"] < MANY * len(each["rounds"]) for each in points),
            }
        )
    problems = [each for each in report["points"] if each["problem"]]
    return render(Path(__file__).with_name("report.html.j2"), report=report, models=models, problems=problems)
