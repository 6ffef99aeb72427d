"""Medians, ratios and the report, on figures that are made up."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from clients.benchmark.peers.figures import Point, as_json, compare, over_rounds, point, within
from clients.benchmark.peers.report import write_report
from clients.benchmark.peers.table import markdown


def at(clients: int, throughput: float, p99_ms: float, rate: float = 0, **more: Any) -> Point:
    return Point(clients, rate, throughput, p99_ms / 2, 0.9 * p99_ms, p99_ms, 1000, **more)


OURS = [at(1, 900, 1.2), at(8, 2000, 5), at(32, 3000, 12), at(64, 3100, 25)]
FAST = [at(1, 1000, 1.0), at(8, 1100, 9), at(32, 1200, 40), at(64, 1250, 80)]
SLOW = [at(1, 300, 4), at(8, 400, 30), at(32, 400, 120), at(64, 380, 260)]


def test_points_have_the_percentiles_of_all_latencies() -> None:
    outcome = {"latencies_us": [1000 * each for each in range(1, 101)], "seconds": 2.0, "answered": 100}
    outcome |= {"failures": 1, "unanswered": 0, "cpu_share": 0.25, "late_us": 500}
    found = point(outcome, 8, 0)
    assert (found.throughput, found.p50_ms, found.failures, found.late_ms) == (50, 50.5, 1, 0.5)
    assert found.p99_ms == pytest.approx(99.01)
    assert math.isnan(point(outcome | {"latencies_us": []}, 8, 0).p99_ms)


def test_medians_are_over_rounds_of_the_same_load() -> None:
    rounds = [at(8, 100, 9), at(32, 400, 9), at(8, 300, 5), at(32, 500, 7), at(8, 200, 1, failures=2)]
    first, second = over_rounds(rounds)
    assert (first.clients, first.throughput, first.p99_ms, first.failures) == (8, 200, 5, 2)
    assert (second.clients, second.throughput) == (32, 450)


def test_an_open_loop_that_falls_behind_does_not_keep_up() -> None:
    outcome = {"latencies_us": [1000] * 200, "seconds": 2.0, "failures": 0, "cpu_share": 0.1, "late_us": 0}
    assert point(outcome | {"answered": 190, "unanswered": 0}, 0, 120).keeps_up  # fewer fell due than the rate says
    assert not point(outcome | {"answered": 180, "unanswered": 0}, 0, 100).keeps_up
    assert not point(outcome | {"answered": 199, "unanswered": 1}, 0, 100).keeps_up
    assert point(outcome | {"answered": 10, "unanswered": 0}, 8, 0).keeps_up
    assert not over_rounds([at(0, 99, 5, rate=100), at(0, 80, 5, rate=100, keeps_up=False)])[0].keeps_up


def test_the_best_within_a_budget() -> None:
    found = within(FAST, 40)
    assert found is not None
    assert found.throughput == 1200
    assert within(FAST, 0.5) is None


def test_ratios_are_to_the_best_of_all_others() -> None:
    found = compare(OURS, {"slow": SLOW, "fast": FAST}, 4000)
    assert found["at"]["32"]["best"] == "fast"
    assert found["at"]["32"]["ratio"] == 2.5
    assert found["at"]["32"]["p99_holds"]
    assert not found["at"]["1"]["p99_holds"]
    # Within 9 ms, the p99 of the fastest other at 8 clients, ours does 2,000 and the others 1,100.
    assert found["within"]["9.0"] == {"ours": 2000, "theirs": {"slow": 300, "fast": 1100}, "ratio": 2000 / 1100}
    assert found["of_limit"] == 3100 / 4000
    assert found["alone"] == {"ours": 0.6, "best": "fast", "theirs": 0.5}


def test_nothing_to_compare_with_is_no_error() -> None:
    assert compare([], {"fast": FAST}, 4000)["at"] == {}
    assert compare(OURS, {}, 0)["of_limit"] is None


def server(title: str, points: list[Point], problem: str = "") -> dict[str, Any]:
    return {
        "title": title,
        "versions": "fast 1.0",
        "setting": None if problem else "WORKERS 2",
        "tried": [{"setting": "WORKERS 2", "throughput": 900.0}, {"setting": "WORKERS 1", "problem": "<port> taken"}],
        "problem": problem,
        "checked": 100,
        "difference": 1e-7,
        "medians": [as_json(each) for each in points],
        "rounds": [as_json(each) for each in points],
    }


@pytest.fixture
def summary() -> dict[str, Any]:
    ours = [*OURS, at(0, 600, 2, rate=600), at(0, 960, 3, rate=960)]
    fast = [*FAST, at(0, 600, 9, rate=600), at(0, 700, 900, rate=960, keeps_up=False)]
    task = {
        "models": {"sign_classifier": {"version": 1, "sha256": "0" * 64}},
        "images": "64 crops, drawn",
        "rounds": 3,
        "rates": [600.0, 960.0],
        "limit": {"throughput": 4000.0, "way": "2 at a time, threads 1, batches of 32", "rounds": [4000.0]},
        "servers": {
            "fast": server("Fast & Co", fast),
            "broken": server("Broken", [], "it cannot be installed: <no wheel>"),
            "triton": server("this project's Triton", ours),
        },
        "comparison": compare(ours, {"fast": fast}, 4000),
    }
    machine = {"cores": 2, "cpu": "some", "gpus": ["one"], "load": 0.1}
    plan = {"crops": 1, "rounds": 3, "seconds": 5.0, "device": "cpu", "first_settings": False}
    return {
        "created": "2030-01-01T00:00:00+00:00",
        "machine": machine,
        "plan": plan,
        "skipped": {"recognize": "models has no sign_detector"},
        "tasks": {"classify": task},
    }


def test_the_table_holds_everybody(summary: dict[str, Any]) -> None:
    text = markdown(summary)
    assert "| **this project's Triton** | 900 (1.2) | 2,000 (5.0) | 3,000 (12.0) | 3,100 (25.0) |" in text
    assert "| Fast & Co | 4.5 / 9.0 | does not keep up |" in text
    assert "- 32 clients: 2.50 times the best other (Fast & Co), at no worse p99 (12.0 ms against 40.0 ms)" in text
    assert "- Broken is missing: it cannot be installed: <no wheel>" in text
    assert "`recognize` was skipped: models has no sign_detector" in text
    assert "- 0.78 of ONNX Runtime in process" in text
    assert text.index("this project's Triton") < text.index("Fast & Co")
    assert "other programs" not in text


def test_failed_requests_are_marked(summary: dict[str, Any]) -> None:
    summary["tasks"]["classify"]["servers"]["fast"]["medians"][1]["failures"] = 3
    assert "| 1,100 (9.0) † |" in markdown(summary)


def test_a_busy_machine_is_noted(summary: dict[str, Any]) -> None:
    summary["machine"]["load"] = 1.5
    assert "the load of other programs was 1.5 on 2 cores" in markdown(summary)


def test_the_report_is_one_page_with_its_plots(tmp_path: Path, summary: dict[str, Any]) -> None:
    write_report(tmp_path, summary)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["peers.json", "peers.md", "report.html"]
    assert json.loads((tmp_path / "peers.json").read_text()) == summary
    page = (tmp_path / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "&lt;no wheel&gt;" in page
    assert "Fast &amp; Co" in page
    assert "does not keep up" in page
    assert "(taken)" in page


def test_a_report_of_nobody_can_be_written(tmp_path: Path, summary: dict[str, Any]) -> None:
    task = summary["tasks"]["classify"]
    task["servers"] = {"broken": task["servers"]["broken"]}
    task["comparison"], task["rates"] = compare([], {}, 4000), []
    write_report(tmp_path, summary)
    assert "there is nothing to compare" in (tmp_path / "report.html").read_text()
