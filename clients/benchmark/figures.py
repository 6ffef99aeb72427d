"""The content of report.json: medians and spans over the rounds, and all raw figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from clients.benchmark.perf_analyzer import Measurement
from clients.benchmark.plan import Point, Way
from clients.benchmark.target import CLASSIFIER

SCHEMA = 1  # of report.json; increase it when a name or a meaning changes

QUANTILES = ("p50", "p95", "p99")  # of the latency, that are shown and compared

Span = dict[str, float]


@dataclass
class Found:
    """The results so far; measurements have the number of their round."""

    points: dict[Point, list[tuple[int, Measurement]]] = field(default_factory=dict)
    problems: dict[Point, str] = field(default_factory=dict)  # why a point cannot be measured
    ways: dict[Way, list[tuple[int, float]]] = field(default_factory=dict)  # pictures per second in process
    commands: dict[Point, list[str]] = field(default_factory=dict)  # of perf_analyzer


def describe_points(points: Sequence[Point], found: Found) -> list[dict[str, Any]]:
    """Returns the points of report.json; one that was not measured has a problem instead of figures."""
    limit = describe_limit(found.ways)
    described = []
    for point in points:
        problem = found.problems.get(point, "")
        rounds = found.points.get(point, [])
        entry: dict[str, Any] = point._asdict() | {"problem": problem or ("" if rounds else "it was not measured")}
        if rounds:
            entry |= _figures([measurement for _, measurement in rounds])
            entry["rounds"] = [{"round": number} | asdict(measurement) for number, measurement in rounds]
            if limit and point.model == CLASSIFIER:
                entry["share_of_limit"] = entry["images_per_second"]["median"] / limit["images_per_second"]
        entry["command"] = found.commands.get(point, [])
        described.append(entry)
    return described


def describe_limit(ways: Mapping[Way, Sequence[tuple[int, float]]]) -> dict[str, Any] | None:
    """Returns the throughput of ONNX Runtime in process, the best way first; None if it was not measured."""
    if not ways:
        return None
    described = [
        asdict(way) | {"images_per_second": span([rate for _, rate in rates]), "rounds": [rate for _, rate in rates]}
        for way, rates in ways.items()
    ]
    described.sort(key=lambda each: -each["images_per_second"]["median"])
    return {"images_per_second": described[0]["images_per_second"]["median"], "ways": described}


def measured_by_model(report: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Returns the points of report.json that have figures, by their model."""
    measured = [each for each in report["points"] if "images_per_second" in each]
    models = dict.fromkeys(each["model"] for each in measured)
    return {model: [each for each in measured if each["model"] == model] for model in models}


def span(values: Sequence[float]) -> Span:
    """Returns the median, minimum and maximum."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def _figures(measurements: Sequence[Measurement]) -> dict[str, Any]:
    def spans(kind: str) -> dict[str, Span]:
        rows: list[dict[str, float]] = [getattr(each, kind) for each in measurements]
        return {name: span([row.get(name, 0.0) for row in rows]) for name in rows[0]}

    return {
        "requests": sum(each.requests for each in measurements),
        "mean_batch": median(each.mean_batch for each in measurements),
        "images_per_second": span([each.images_per_second for each in measurements]),
        "latency_ms": spans("latency_ms"),
        "parts_ms": spans("parts_ms"),
        "inside_ms": spans("inside_ms"),
    }
