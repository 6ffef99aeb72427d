"""A report of `signs bench`, made of figures that no server gave: to look at the page."""

from typing import Any

from clients.benchmark.figures import SCHEMA, Found, describe_limit, describe_points
from clients.benchmark.perf_analyzer import Measurement, read_measurement
from clients.benchmark.plan import Point, Way

HEADER = (
    "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,"
    "Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency,"
    "Avg latency,request/response,response wait"
)
ROW = "3,30.5274,9,7367,41539,37,45474,235,4,92704,131803,151295,169313,94668,13,95204"
TABLE = f"{HEADER}\n{ROW}\n"
SAID = """ Successfully read data for 1 stream/streams with 30 step/steps.
Request concurrency: 3
  Client:
    Request count: 56
    Throughput: 30.5274 infer/sec
  Server:
    Successful request count: 57
"""

GRPC, HTTP = Point("sign_classifier", "grpc", 1, 4), Point("sign_classifier", "http", 8, 16)
RECOGNIZER = Point("sign_recognizer", "grpc", 1, 2)
POINTS = [GRPC, HTTP, RECOGNIZER]
WAYS = {Way(1, 2, 8): [(1, 900.0), (2, 1000.0)], Way(2, 1, 1): [(1, 1990.0), (2, 2010.0)]}


def measurement(images_per_second: float, **inside: float) -> Measurement:
    """Returns a measurement of a point that is otherwise always the same."""
    read = read_measurement(TABLE, SAID)
    return Measurement(
        images_per_second, read.latency_ms, read.parts_ms, read.requests, read.table, dict(inside), mean_batch=1.5
    )


def found(*rates: float) -> Found:
    """Returns what was measured in rounds of which each was so fast."""
    rounds = [(number, measurement(rate)) for number, rate in enumerate(rates, start=1)]
    recognized = [(1, measurement(12.0, sign_detector=30.0, sign_classifier=4.0))]
    return Found({GRPC: rounds, HTTP: rounds, RECOGNIZER: recognized}, ways=dict(WAYS))


def made_up_report(what: Found, points: list[Point] = POINTS, **parts: Any) -> dict[str, Any]:
    """Returns the content of a report.json about it; `parts` take the place of its own."""
    return {
        "schema": SCHEMA,
        "created": "2026-11-23T18:00:00+00:00",
        "command": "signs bench --images 'my pictures'",
        "arguments": {"seconds": 3, "rounds": 2},
        "environment": {
            "cpu": "a <fast> CPU",
            "cores": 2,
            "memory_bytes": 2**34,
            "gpus": [],
            "system": "Linux 6",
            "python": "3.11.7",
            "versions": {"numpy": "2.4"},
            "git_commit": "abc",
            "load": 0.1,
        },
        "server": {
            "description": "a server",
            "started_here": True,
            "urls": {},
            "metadata": {"name": "triton", "version": "2.51.0"},
            "models": {"sign_classifier": {"versions": ["1"], "largest_batch": 64, "metadata": {}}},
        },
        "pictures": {
            "source": "drawn street scenes",
            "pictures": 16,
            "signs": 80,
            "bytes": 1_000_000,
            "sizes": ["1360x800"],
            "fingerprint": "f" * 64,
        },
        "notices": ["the machine was busy"],
        "complete": True,
        "runs": 7,
        "planned_runs": 7,
        "limit": describe_limit(what.ways),
        "points": describe_points(points, what),
        "comparison": None,
    } | parts
