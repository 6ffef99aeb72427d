"""The report of `signs bench`, and two of them beside each other."""

import base64
import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from clients.benchmark.comparison import compare, load_report, slower
from clients.benchmark.figures import describe_limit
from clients.benchmark.perf_analyzer import PARTS
from clients.benchmark.report import prepare_folder, to_csv, to_html, write_report
from clients.benchmark.table import print_comparison, print_points
from tests.clients.benchmark.made_up import GRPC, POINTS, RECOGNIZER, found, made_up_report, measurement
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console


@pytest.fixture
def report() -> dict[str, Any]:
    """A report of three points, one of which fails."""
    what = found(90.0, 110.0, 95.0)
    what.problems[RECOGNIZER] = "perf_analyzer failed: the server said <no>"
    del what.points[RECOGNIZER]
    return made_up_report(what)


def test_a_point_has_medians_spans_and_all_raw_figures(report: dict[str, Any]) -> None:
    point = report["points"][0]
    assert point["images_per_second"] == {"median": 95, "min": 90, "max": 110}
    assert point["latency_ms"]["p99"]["median"] == 169.313 and set(point["parts_ms"]) == set(PARTS)
    assert point["requests"] == 3 * 56 and point["mean_batch"] == 1.5
    assert [each["round"] for each in point["rounds"]] == [1, 2, 3]
    assert point["rounds"][1]["table"]["Inferences/Second"] == "30.5274"
    assert point["share_of_limit"] == pytest.approx(95 / 2000) and report["limit"]["images_per_second"] == 2000
    assert report["limit"]["ways"][0]["sessions"] == 2, "the best way comes first"
    assert "images_per_second" not in report["points"][2] and "<no>" in report["points"][2]["problem"]
    assert describe_limit({}) is None


def test_the_folder_holds_three_files_and_nothing_else(report: dict[str, Any], tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    write_report(tmp_path / "a" / "b", report)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
    ]
    assert load_report(tmp_path / "a" / "b") == json.loads(json.dumps(report))
    with pytest.raises(ClientError, match="holds a report already"):
        prepare_folder(tmp_path / "a" / "b")
    with pytest.raises(FileExistsError):
        prepare_folder(tmp_path / "a" / "b" / "report.csv")


def test_the_csv_has_a_row_for_each_point(report: dict[str, Any]) -> None:
    rows = list(csv.DictReader(to_csv(report).splitlines()))
    assert [row["model"] for row in rows] == [point.model for point in POINTS]
    assert (rows[0]["images_per_second"], rows[0]["images_per_second_max"], rows[0]["p99_ms"]) == (
        "95.0",
        "110.0",
        "169.313",
    )
    assert rows[0]["queue_ms"] == "41.539" and rows[0]["problem"] == ""
    assert rows[2]["images_per_second"] == "" and "<no>" in rows[2]["problem"]


def test_the_page_holds_everything_and_its_pictures(report: dict[str, Any]) -> None:
    page = to_html(report)
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(pictures) == 2, "the curves and where the time goes"
    for each in pictures:
        assert ElementTree.fromstring(base64.b64decode(each)).tag.endswith("svg")
    for text in (
        "a &lt;fast&gt; CPU",
        "server said &lt;no&gt;",
        "&#39;my pictures&#39;",
        "169",
        "the machine was busy.",
    ):
        assert text in page
    assert "cut short" not in page and "<no>" not in page
    assert not re.search(r'(src|href)="(?!data:)', page), "it can be read without a network"
    assert "This run was cut short: it holds 2 of 7" in to_html(report | {"complete": False, "runs": 2})
    assert to_html(report) == page, "the same figures give the same page"


def test_a_model_that_calls_others_shows_what_it_waits_for() -> None:
    page = to_html(made_up_report(found(100.0)))
    assert "waits for sign_detector and sign_classifier within its inference" in page
    assert len(re.findall("data:image/svg", page)) == 4


def test_a_report_without_any_figure_can_be_written(report: dict[str, Any]) -> None:
    what = found(1.0)
    what.points.clear()
    page = to_html(made_up_report(what))
    assert page.count("it was not measured") == 3


def test_the_table_fits_a_terminal(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_points(Console(width=80), report)
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert all(len(line) <= 80 for line in lines if "the server said" not in line)
    assert "images/s" in said and "clients" in said and "…" not in said
    assert "95.0" in said and "0.05" in said and "21%" in said
    assert "limit: ONNX Runtime in process does 2,000 images/s (2 x 1 threads, batch 1)" in said
    assert "sign_recognizer, grpc, batch 1, 2 at a time: perf_analyzer failed: the server said <no>" in said


def test_ratios_are_new_to_old_and_overlaps_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    old, new = made_up_report(found(100.0, 110.0)), made_up_report(found(50.0, 60.0))
    comparison = compare(old, new, "old.json")
    first = comparison["points"][0]
    assert first["images_per_second"] == pytest.approx(55 / 105) and first["slowdown"] == pytest.approx(105 / 55)
    assert first["p99"] == 1 and not first["overlaps"] and comparison["notes"] == []
    assert comparison["points"][2]["overlaps"], "that one is as fast as it was"
    assert [each["protocol"] for each in slower(comparison, 1.5)] == ["grpc", "http"]
    assert slower(comparison, 2.0) == []
    print_comparison(Console(width=80), comparison)
    said = capsys.readouterr().out
    assert "compared with old.json" in said and "0.52x" in said and "slower" in said and "overlap" in said
    page = to_html(new | {"comparison": comparison})
    assert "0.52x" in page and "rounds overlap" in page


def test_rounds_that_overlap_are_not_slower() -> None:
    old, new = made_up_report(found(100.0, 200.0)), made_up_report(found(60.0, 101.0))
    comparison = compare(old, new, "old")
    assert comparison["points"][0]["slowdown"] > 1.8 and slower(comparison, 1.2) == []


def test_a_point_that_fails_now_counts_as_slower() -> None:
    what = found(100.0)
    what.problems[GRPC] = "perf_analyzer failed"
    del what.points[GRPC]
    comparison = compare(made_up_report(found(100.0)), made_up_report(what), "old")
    assert [each["problem"] for each in slower(comparison, 5)] == ["perf_analyzer failed"]
    assert comparison["only_old"] == []


def test_what_differs_around_the_figures_is_noted() -> None:
    old, new = made_up_report(found(100.0)), made_up_report(found(100.0), points=POINTS[1:], complete=False)
    new["environment"] |= {"cpu": "another", "versions": {"numpy": "2.5"}, "git_commit": "def"}
    new["arguments"] = {"seconds": 1, "rounds": 2}
    new["server"]["models"]["sign_classifier"]["versions"] = ["2"]
    new["pictures"]["fingerprint"] = "0"
    comparison = compare(old, new, "old")
    notes = "\n".join(comparison["notes"])
    for text in (
        "another machine: cpu was a <fast> CPU, is another",
        "numpy was 2.4, is 2.5",
        "code was abc, is def",
        "seconds was 3, is 1",
        "version of sign_classifier was 1, is 2",
        "other pictures were sent",
        "the later run was cut short",
    ):
        assert text in notes
    assert [each["protocol"] for each in comparison["only_old"]] == ["grpc"] and comparison["only_new"] == []


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    old = made_up_report(found(100.0), points=POINTS[:1])
    with pytest.raises(ClientError, match="no point in common"):
        compare(old, made_up_report(found(100.0), points=POINTS[1:]), "old")
    for content, reason in (
        ("{", "not JSON"),
        ("[]", "schema 1"),
        ('{"schema": 99, "points": []}', "but 99"),
        ('{"schema": 1}', "schema 1"),
    ):
        (tmp_path / "report.json").write_text(content)
        with pytest.raises(ClientError, match=reason):
            load_report(tmp_path)
    with pytest.raises(ClientError, match="cannot be read"):
        load_report(tmp_path / "nothing.json")
    with pytest.raises(ClientError, match="it was altered"):
        compare(old, made_up_report(found(100.0)) | {"points": [{"images_per_second": 1}]}, "old")


def test_measurements_keep_what_a_model_waited_for() -> None:
    what = found(1.0)
    what.points[GRPC] = [(1, measurement(1.0, x=2.0)), (2, measurement(1.0, x=4.0))]
    assert made_up_report(what)["points"][0]["inside_ms"]["x"] == {"median": 3, "min": 2, "max": 4}
