"""The drift exporter as a process: what it publishes, what it prints, and how it ends.

A page of ours answers as Prometheus would, so that it can fail at will; `test_drift_prometheus.py` has the real one.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from typer.testing import CliRunner, Result

from clients.command.monitor import app
from export.reference import Measurements
from monitoring.drift.exporter import Problems
from monitoring.errors import MonitoringError
from tests.monitoring.drift_samples import draw, exposition, page, publish_recognizer, reference_of
from tests.running_prometheus import wait_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from clients.command.main import main; main()", "monitor", "drift"]
SAME, DARK, FEW = draw(300, seed=1), draw(300, seed=2, brightness=60), draw(20, seed=3)


class Answers:
    """Prometheus' answers about versions that have counted scenes."""

    def __init__(self, seen: dict[str, Measurements]) -> None:
        self.seen, self.is_down = seen, False

    def __call__(self, path: str) -> tuple[int, str, str]:
        if self.is_down:
            return 503, "text/plain", "no"
        metric = next(iter(re.findall(r"increase\((\w+)", unquote_plus(path))))
        result = []
        for version, measurements in self.seen.items():
            for name, labels, value in re.findall(r"(\w+){(.*)} (\d+)", exposition(version, measurements)):
                if name == metric:
                    result.append({"metric": dict(re.findall(r'(\w+)="(.*?)"', labels)), "value": [0, value]})
        answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return 200, "application/json", json.dumps(answer)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 with a reference, 2 without."""
    folder = tmp_path_factory.mktemp("served")
    publish_recognizer(folder, reference_of(draw(300, seed=0)))
    publish_recognizer(folder, None)
    return folder


class Exporter:
    """A running exporter."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(lambda: any("publishing drift at" in line for line in self.lines), "the exporter's start")
        found = re.search(r"at (http://\S+),", self.lines[0])
        assert found is not None
        self.url = found.group(1)

    def scrape(self) -> dict[str, float]:
        """Returns what it publishes: series to value."""
        with urllib.request.urlopen(self.url, timeout=60) as response:
            text = response.read().decode()
        return {series: float(value) for series, value in re.findall(r"^(\w+(?:{.*})?) (\S+)$", text, re.MULTILINE)}

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))


@contextmanager
def exporting(prometheus: str, repository: Path, *options: str) -> Iterator[Exporter]:
    """Runs an exporter that looks each second; `options` are more of the command line."""
    where = ["--prometheus", f"http://{prometheus}", "--repository", str(repository), "--port", "0"]
    process = subprocess.Popen(
        [*COMMAND, *where, "--interval", "1s", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Exporter(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_it_publishes_what_changes_and_survives_a_prometheus_that_is_down(repository: Path) -> None:
    answers = Answers({"1": SAME, "2": SAME})
    with page(answers) as where, exporting(where, repository) as exporter:
        firing, last = (
            'signs_drift_firing{feature="scene_brightness",version="1"}',
            "signs_drift_last_success_timestamp_seconds",
        )
        wait_until(lambda: firing in exporter.scrape(), "the first look")
        found = exporter.scrape()
        assert found[firing] == 0
        assert found['signs_drift_samples{version="1"}'] == 300
        assert found['signs_drift_reference_missing{version="1"}'] == 0
        assert found['signs_drift_reference_missing{version="2"}'] == 1
        assert found['signs_drift_score{feature="sign_class",version="1"}'] < 0.25
        assert found['signs_drift_p_value{feature="sign_class",version="1"}'] > 0.001
        assert not [series for series in found if "feature" in series and 'version="2"' in series]

        answers.seen = {"1": DARK}
        wait_until(lambda: exporter.scrape()[firing] == 1, "the drift")
        found = exporter.scrape()
        assert found['signs_drift_score{feature="scene_brightness",version="1"}'] > 1
        wait_until(lambda: not any('version="2"' in each for each in exporter.scrape()), "the end of version 2")

        answers.is_down = True
        wait_until(lambda: any("does not answer" in line for line in exporter.lines), "the failure")
        before = exporter.scrape()
        wait_until(lambda: exporter.scrape()[last] == before[last], "one more look")
        assert exporter.scrape() == before and before[firing] == 1, "the last findings stay"

        answers.is_down, answers.seen = False, {"1": FEW}
        wait_until(lambda: exporter.scrape()[firing] == 0, "the night")
        quiet = exporter.scrape()
        assert 'signs_drift_score{feature="scene_brightness",version="1"}' not in quiet
        assert quiet['signs_drift_samples{version="1"}'] == 20 and quiet[last] > before[last]
        assert exporter.end(signal.SIGINT) == 0

    printed = "".join(exporter.lines)
    assert printed.count("has no reference") == 1, "what stays as it is is not repeated"
    assert "version 1: drift of scene_brightness: PSI " in printed
    assert "over: version 1: drift of scene_brightness" in printed
    assert printed.count("does not answer (Service Unavailable)") == 1 and "over: prometheus" in printed
    assert printed.endswith("stopped\n") and "Traceback" not in printed


def test_a_polite_kill_ends_it(repository: Path) -> None:
    with page(Answers({})) as where, exporting(where, repository) as exporter:
        wait_until(lambda: len(exporter.lines) > 1, "the first look")
        assert exporter.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert "Prometheus has no metrics of a sign_recognizer yet" in exporter.lines[1]


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["drift", *options])


def test_one_look_is_a_table_and_an_exit_code(repository: Path) -> None:
    answers = Answers({"1": DARK})
    with page(answers) as where:
        options = ("--once", "--prometheus", f"http://{where}", "--repository", str(repository))
        drifted = run(*options)
        answers.seen = {"1": SAME, "2": FEW}
        same = run(*options, "--json")
        answers.seen = {"1": SAME, "2": SAME}
        without_reference = run(*options)
        answers.seen = {}
        nobody = run(*options)
        answers.is_down = True
        down = run(*options)

    assert drifted.exit_code == 1, drifted.stderr
    assert "sign_recognizer 1: drift, 300 scenes in the last 1h" in drifted.stdout
    assert "scene_brightness" in drifted.stdout and "up to " in drifted.stdout
    assert same.exit_code == 0, "the other version has too few scenes to matter"
    found = json.loads(same.stdout)
    assert [version["verdict"] for version in found["versions"]] == ["no drift", "not evaluated"]
    assert found["versions"][0]["features"][0]["feature"] == "scene_brightness"
    assert found["limits"] == {"alpha": 0.0001, "psi": 0.25, "floor": 50, "repeats": 1.0}
    assert without_reference.exit_code == 2 and "has no reference" in without_reference.stdout
    assert nobody.exit_code == 2 and "no metrics of a sign_recognizer" in nobody.stdout
    assert down.exit_code == 2
    assert down.stderr.startswith("signs: Prometheus at ") and len(down.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--window", "1x"], "'--window': '1x': give a duration"),
        (["--json"], "add --once"),
        (["--min-samples", "5"], "min-samples"),
    ],
)
def test_wrong_options_are_refused(options: list[str], what: str) -> None:
    result = run(*options)
    assert result.exit_code == 2 and what in " ".join(result.stderr.replace("│", " ").split())


def test_a_port_that_is_taken_is_named(repository: Path) -> None:
    with page(Answers({})) as where:
        result = run("--port", where.rpartition(":")[2], "--repository", str(repository))
    assert isinstance(result.exception, MonitoringError)
    assert f"cannot listen on {where}" in str(result.exception)
    assert "choose another --host or --port" in str(result.exception)


def test_whatever_is_wrong_is_no_drift() -> None:
    with page(Answers({"1": SAME})) as where:
        for wrong in ("ftp://models", "nowhere"):
            result = run("--once", "--prometheus", f"http://{where}", "--repository", wrong)
            assert result.exit_code == 2 and wrong in result.output
    assert run("--once", "--prometheus", "http://[").exit_code == 2


def test_problems_are_reported_once_and_when_they_are_over() -> None:
    notices: list[str] = []
    problems = Problems(notices.append)
    for sentences in ({"a": "a is so, by 1"}, {"a": "a is so, by 2"}, {"a": "a is so, by 3", "b": "b"}, {"b": "b"}, {}):
        problems.update(sentences)
    assert notices == ["a is so, by 1", "b", "over: a", "over: b"]


def test_it_needs_neither_the_networks_nor_their_libraries() -> None:
    code = (
        "import sys, monitoring.drift.exporter, clients.command.drift_output\n"
        "print(*{'torch', 'onnx', 'onnxruntime', 'tritonclient', 'mlflow', 'matplotlib'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == ""
