"""`signs bench` with the real perf_analyzer on a real tritonserver."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.repository import Manifest
from serving.install import Installation
from serving.server import RunningServer
from tests.drawn_traffic import photograph
from tests.serving.test_server import alive, children, wait_until

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        shutil.which("perf_analyzer") is None, reason="no perf_analyzer: make tools, on a Linux with glibc 2.38"
    ),
]

ROOT = Path(__file__).parents[2]
# Windows of a third of that: the recognizer of a busy machine has to answer in each.
LONG, SHORT = ("--seconds", "4", "--rounds", "1"), ("--seconds", "0.9", "--rounds", "2")
ONE = ("--batch-sizes", "1", "--concurrencies", "2")


def command(*options: str) -> list[str]:
    code = "from clients.command.main import main; main()"
    return [sys.executable, "-c", code, "bench", "--home", str(ROOT / ".tritonserver"), *options]


def bench(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*options), capture_output=True, text=True, check=False, timeout=280, cwd=ROOT)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs of red cells, which are what the detector finds."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(3):
        photograph(seed).save(folder / f"{seed}.jpg")
    return folder


@pytest.fixture(scope="module")
def report(recognizer_server: RunningServer, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a running server, over both protocols."""
    folder = tmp_path_factory.mktemp("bench") / "report"
    urls = ("--url", f"grpc://{recognizer_server.grpc_url}", "--url", f"http://{recognizer_server.http_url}")
    result = bench(*urls, *ONE, *LONG, "--images", str(pictures), "--output", str(folder))
    assert result.returncode == 0, result.stderr
    assert "sign_recognizer" in result.stdout and "report.html" in result.stdout
    return folder


def test_a_running_server_is_measured_over_both_protocols(report: Path) -> None:
    content = json.loads((report / "report.json").read_text())
    assert content["complete"] and content["runs"] == content["planned_runs"] == 4
    measured = {(each["model"], each["protocol"]): each for each in content["points"]}
    assert set(measured) == {(m, p) for m in ("sign_classifier", "sign_recognizer") for p in ("grpc", "http")}
    for each in measured.values():
        assert each["images_per_second"]["median"] > 0 and each["requests"] > 0 and each["mean_batch"] >= 1
        latency, parts = each["latency_ms"], each["parts_ms"]
        assert 0 < latency["p50"]["median"] <= latency["p95"]["median"] <= latency["p99"]["median"]
        assert sum(part["median"] for part in parts.values()) == pytest.approx(latency["mean"]["median"], rel=0.05)
        assert parts["inference"]["median"] > 0
    inside = measured["sign_recognizer", "grpc"]["inside_ms"]
    assert inside["sign_detector"]["median"] > 0 and inside["sign_classifier"]["median"] > 0
    assert content["server"]["metadata"]["version"] == "2.51.0" and not content["server"]["started_here"]
    assert content["server"]["description"] == "tritonserver 2.51.0, ONNX Runtime stand-in backend"
    assert any("these are not the figures of Triton's own" in notice for notice in content["notices"])
    assert content["environment"]["cores"] >= 1 and content["environment"]["versions"]["perf_analyzer"]
    assert content["pictures"]["pictures"] == 3
    assert len(list(csv.reader((report / "report.csv").read_text().splitlines()))) == 5
    assert (report / "report.html").read_text().count("data:image/svg+xml") == 4
    assert len(list((report / "perf_analyzer").glob("*.csv"))) == 4, "its own files are kept"


def test_a_server_of_its_own_is_measured_beside_the_limit_and_an_earlier_run(
    installation: Installation, repository: Path, manifest: Manifest, report: Path, pictures: Path, tmp_path: Path
) -> None:
    options = ("--repository", str(repository), "--protocols", "grpc", *ONE, *SHORT, "--in-process", "--json")
    compared = ("--images", str(pictures), "--compare", str(report), "--output", str(tmp_path / "out"))
    result = bench(*options, *compared)
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == content
    (point,) = content["points"]
    assert len(point["rounds"]) == 2 and content["limit"]["images_per_second"] > 0
    assert point["share_of_limit"] > 0 and len(content["limit"]["ways"]) >= 2
    comparison = content["comparison"]
    assert [each["model"] for each in comparison["points"]] == ["sign_classifier"]
    assert {each["model"] for each in comparison["only_old"]} == {"sign_classifier", "sign_recognizer"}
    assert any(note.startswith("server was") for note in comparison["notes"])
    assert "Compared with an earlier run" in (tmp_path / "out" / "report.html").read_text()


def test_what_cannot_be_measured_is_reported_in_the_words_of_perf_analyzer(
    slow_server: RunningServer, pictures: Path, tmp_path: Path
) -> None:
    url = ("--url", slow_server.grpc_url, "--images", str(pictures))
    result = bench(*url, "--models", "nope", "--output", str(tmp_path / "a"))
    assert result.returncode == 1 and "has no model nope ready" in result.stderr
    result = bench(*url, "--models", "busy_recognizer", "--batch-sizes", "2", "--output", str(tmp_path / "b"))
    assert result.returncode == 1 and "takes batches of 1 at most" in result.stderr
    # This recognizer takes no photograph at all, so that each request fails.
    result = bench(*url, "--models", "busy_recognizer", *ONE, *SHORT, "--output", str(tmp_path / "c"))
    assert result.returncode == 1 and "no point could be measured" in result.stderr
    (point,) = json.loads((tmp_path / "c" / "report.json").read_text())["points"]
    # Which error it is depends on the bytes of the photograph.
    raised = re.search(r"ValueError|UnicodeDecodeError", point["problem"])
    assert point["problem"].startswith("perf_analyzer failed: ") and raised
    assert raised[0] in (tmp_path / "c" / "report.html").read_text()


@pytest.mark.parametrize("how", ["Ctrl-C", pytest.param("server killed", marks=pytest.mark.long)])
def test_stopped_in_the_middle_it_keeps_what_was_measured(
    installation: Installation, repository: Path, manifest: Manifest, pictures: Path, tmp_path: Path, how: str
) -> None:
    options = ("--repository", str(repository), *ONE, "--seconds", "0.9", "--rounds", "100")
    words = command(*options, "--images", str(pictures), "--output", str(tmp_path))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert wait_until(lambda: (tmp_path / "report.json").exists() or process.poll() is not None, 200)
    family = children(process.pid)
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        (server,) = [pid for pid in family if "tritonserver" in Path(f"/proc/{pid}/comm").read_text()]
        os.kill(server, signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    content = json.loads((tmp_path / "report.json").read_text())
    assert not content["complete"] and 0 < content["runs"] < content["planned_runs"] == 200
    assert f"hold the {content['runs']} of 200 runs so far" in out
    assert "cut short" in (tmp_path / "report.html").read_text()
    if how == "Ctrl-C":
        assert process.returncode == 130 and err.strip() == "signs: stopped"
    else:
        assert process.returncode == 1 and "tritonserver ended by itself" in err
    assert wait_until(lambda: not any(alive(pid) for pid in family), 60), "a server or perf_analyzer outlived it"
