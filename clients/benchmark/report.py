"""The report folder of `signs bench`: report.json, report.csv and report.html, each whole or not at all."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients.benchmark.perf_analyzer import PARTS
from traffic_sign_client.errors import ClientError
from traffic_signs.atomic_write import atomic_write

JSON = "report.json"
QUANTILES = ("p50", "p90", "p95", "p99", "mean")
MANY = 100  # requests that a p99 needs
SPAN = ("median", "min", "max")


def prepare_folder(folder: Path) -> None:
    """Makes the folder of a report, before minutes are spent on measuring.

    Raises:
        ClientError: it holds a report already.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / JSON).exists():
        raise ClientError(f"{folder} holds a report already, which stays: give another folder with --output")
    _write(folder / JSON, "")
    (folder / JSON).unlink()


def write_json(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes report.json."""
    _write(folder / JSON, json.dumps(report, indent=2) + "\n")


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Writes report.json, report.csv and report.html."""
    write_json(folder, report)
    _write(folder / "report.csv", to_csv(report))
    _write(folder / "report.html", to_html(report))


def to_csv(report: Mapping[str, Any]) -> str:
    """Returns a row for each point: medians over the rounds, with the lowest and highest pictures per second."""
    output = io.StringIO()
    names = ["model", "protocol", "batch", "concurrency", "rounds", "requests"]
    names += [f"images_per_second{'' if each == 'median' else '_' + each}" for each in SPAN]
    names += [f"{each}_ms" for each in (*QUANTILES, *PARTS)]
    names += ["mean_batch", "share_of_limit", "problem"]
    writer = csv.DictWriter(output, names, lineterminator="\n")
    writer.writeheader()
    for each in report["points"]:
        row = {name: each[name] for name in ("model", "protocol", "batch", "concurrency", "problem")}
        if "images_per_second" in each:
            rate = each["images_per_second"]
            row |= {"rounds": len(each["rounds"]), "requests": each["requests"]}
            row |= {f"images_per_second{'' if at == 'median' else '_' + at}": round(rate[at], 3) for at in SPAN}
            figures = {**each["latency_ms"], **each["parts_ms"]}
            row |= {f"{name}_ms": round(value["median"], 4) for name, value in figures.items()}
            row["mean_batch"] = round(each["mean_batch"], 2)
            row["share_of_limit"] = round(each["share_of_limit"], 4) if "share_of_limit" in each else ""
        writer.writerow(row)
    return output.getvalue()


def to_html(report: Mapping[str, Any]) -> str:
    """Returns the page, with its pictures inside."""
    import jinja2

    from clients.benchmark.charts import draw_curves, draw_parts

    measured = [each for each in report["points"] if "images_per_second" in each]
    models = []
    for name in dict.fromkeys(each["model"] for each in measured):
        points = [each for each in measured if each["model"] == name]
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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    problems = [each for each in report["points"] if each["problem"]]
    return environment.get_template("report.html.j2").render(report=report, models=models, problems=problems)


def figure(value: float) -> str:
    """Writes a number with as many places as a person wants to read."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _write(path: Path, content: str) -> None:
    with atomic_write(path) as staging:
        staging.write_text(content)
