"""What the drift watch makes of Prometheus: a real one that scrapes a page of ours, and answers that make no sense.

The page stands in for many servers and releases at once; `tests/end_to_end/test_drift_served.py` has the real one.
"""

import json
import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from export.reference import FILE, Measurements
from monitoring.drift.features import CLASSES, EMPTY, FEATURES, count_by_scene
from monitoring.drift.limits import DriftLimits
from monitoring.drift.prometheus import Prometheus
from monitoring.drift.watch import Finding, Watch
from monitoring.errors import MonitoringError
from tests.monitoring.drift_samples import (
    EDGES,
    NUM_CLASSES,
    draw,
    exposition,
    page,
    publish_recognizer,
    reference_of,
)
from tests.running_prometheus import ask, running_prometheus, wait_until

REFERENCE = draw(300, seed=0)
NOTHING = draw(0, seed=0)
SAME, DARK, FEW = draw(400, seed=1), draw(400, seed=2, brightness=60), draw(20, seed=3)
TOTAL = "sign_recognizer_scenes_total"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 to 3 and 5 with a reference, 4 without, 6 with a damaged one."""
    folder = tmp_path_factory.mktemp("served")
    for version in range(1, 7):
        publish_recognizer(folder, None if version == 4 else reference_of(REFERENCE))
    damaged = folder / "sign_recognizer" / "6" / FILE
    damaged.write_bytes(damaged.read_bytes().replace(b"gtsdb=drawn", b"gtsdb=other"))
    return folder


def page_of(seen: dict[str, Measurements]) -> str:
    """Returns what versions have counted; 7 has lost buckets on the way, and one of `next` is no number."""
    versions = {version: exposition(version, seen.get(version, NOTHING)) for version in (*"1234567", "next")}
    versions["7"] = re.sub(r".*scene_sharpness_bucket.*le=.(?!\+Inf).*\n", "", versions["7"])
    versions["next"] = re.sub(r"(empty_scenes_total{.*}) .*", r"\1 NaN", versions["next"])
    return "".join(versions.values())


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has seen versions count: from nothing, through a restart of version 5, to the end."""
    texts = [
        page_of({}),
        page_of({"5": SAME}),
        page_of({}),
        page_of({"1": SAME, "2": DARK, "3": FEW, "4": SAME, "5": SAME, "6": SAME, "7": SAME, "next": SAME}),
    ]
    shown = [texts[0]]
    with (
        page(lambda _: (200, "text/plain; version=0.0.4", shown[0])) as where,
        running_prometheus(tmp_path_factory.mktemp("prometheus"), where) as url,
    ):
        for text, version, total in (
            *((text, "5", 400 * (n % 2)) for n, text in enumerate(texts[:3])),
            (texts[3], "1", 400),
        ):
            shown[0] = text
            query = f'{TOTAL}{{version="{version}"}}'
            wait_until(lambda query=query, total=total: ask(url, query) == total, query)  # type: ignore[misc]
        yield url


@pytest.fixture(scope="module")
def findings(prometheus: str, repository: Path) -> dict[str, Finding]:
    return {each.version: each for each in Watch(Prometheus(prometheus, "10m"), repository, DriftLimits()).look()}


def test_versions_are_evaluated_each_by_its_own_traffic(findings: dict[str, Finding]) -> None:
    assert list(findings) == ["1", "2", "3", "4", "5", "6", "7", "next"]
    assert {version: finding.verdict for version, finding in findings.items()} == {
        "1": "no drift",
        "2": "drift",
        "3": "not evaluated",
        "4": "not evaluated",
        "5": "no drift",
        "6": "not evaluated",
        "7": "not evaluated",
        "next": "not evaluated",
    }
    assert [score.feature for score in findings["2"].scores] == list(FEATURES)
    assert [score.feature for score in findings["2"].scores if score.is_firing] == ["scene_brightness"]
    assert all(score.note.endswith("are needed") for score in findings["3"].scores)


def test_a_restarted_server_has_counted_on(findings: dict[str, Finding]) -> None:
    once, twice = findings["1"], findings["5"]
    assert twice.scenes == pytest.approx(2 * once.scenes, rel=0.2)


def test_why_there_is_no_reference_is_said(findings: dict[str, Finding]) -> None:
    missing = {version: finding.missing for version, finding in findings.items() if finding.missing}
    assert set(missing) == {"4", "6", "7", "next"}
    assert "has no reference" in missing["4"] and "--reference gtsdb=PATH" in missing["4"]
    assert "is not the file that was published" in missing["6"]
    assert "has no sign_recognizer 7: give the --repository that is served" in missing["7"]
    assert "'next' is not a version" in missing["next"]


def test_counts_are_those_of_the_page(prometheus: str) -> None:
    window = Prometheus(prometheus, "10m").read_windows()["2"]
    expected = {name: table.sum(axis=0) for name, table in count_by_scene(DARK, EDGES, NUM_CLASSES).items()}
    assert set(window.counts) == set(FEATURES) and window.edges == EDGES and not window.problems
    # Prometheus stretches all of them by the same factor.
    factor = window.scenes / 400
    assert 1 <= factor < 1.5
    for name, counts in expected.items():
        assert window.counts[name] == pytest.approx(factor * counts, rel=1e-6, abs=1e-6), name


def test_buckets_that_are_not_there_leave_the_other_features_alone(prometheus: str) -> None:
    windows = Prometheus(prometheus, "10m").read_windows()
    assert windows["7"].problems == {"scene_sharpness": "its buckets are not all there"}
    assert set(windows["7"].counts) == set(FEATURES) - {"scene_sharpness"}
    assert windows["next"].problems == {EMPTY: "Prometheus has no number for it"}


def test_a_selector_chooses_and_a_wrong_one_is_explained(prometheus: str, repository: Path) -> None:
    def look(selector: str) -> list[Finding]:
        return Watch(Prometheus(prometheus, "10m", selector), repository, DriftLimits()).look()

    assert [finding.version for finding in look('job="signs",version=~"1|2"')] == ["1", "2"]
    assert look('job="another"') == []
    with pytest.raises(MonitoringError, match=r"refuses sum by .*: .*parse error"):
        look("job=signs")


def test_a_version_that_was_published_later_is_found(prometheus: str, repository: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(repository, tmp_path / "copy")
    watch = Watch(Prometheus(prometheus, "10m"), copy, DriftLimits())
    assert [finding.verdict for finding in watch.look() if finding.version == "7"] == ["not evaluated"]
    publish_recognizer(copy, reference_of(REFERENCE))
    assert [finding.verdict for finding in watch.look() if finding.version == "7"] == ["no drift"]


@pytest.mark.parametrize(
    ("status", "kind", "text", "what"),
    [
        (200, "text/html", "<html>a proxy</html>", "is not Prometheus"),
        (200, "application/json", "[]", "is not Prometheus"),
        (200, "application/json", '{"status": "success", "data": {}}', "is not Prometheus"),
        (200, "application/json", '{"status": "success", "data": {"resultType": "vector", "result": [{}]}}', "not Pro"),
        (
            200,
            "application/json",
            '{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, "x"]}]}}',
            "is not Prometheus",
        ),
        (200, "application/json", '{"status": "error", "error": "too many samples"}', "refuses .*: too many samples"),
        (422, "application/json", '{"status": "error", "error": "too many samples"}', "refuses .*: too many samples"),
        (401, "text/plain", "who are you", "does not answer .*Unauthorized"),
        (503, "text/plain", "starting", "does not answer .*Service Unavailable"),
    ],
)
def test_answers_that_are_none(status: int, kind: str, text: str, what: str) -> None:
    with page(lambda _: (status, kind, text)) as where, pytest.raises(MonitoringError, match=what):
        Prometheus(f"http://{where}").read_windows()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "localhost:9090", "file:///etc", "http://[", ""])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(MonitoringError, match="check --prometheus"):
        Prometheus(url).read_windows()


def answering(
    series: dict[str, dict[str, float]], label: Callable[[str], str]
) -> Callable[[str], tuple[int, str, str]]:
    """Returns what answers queries of a metric with values by the value of a label."""

    def answer(path: str) -> tuple[int, str, str]:
        query = urllib.parse.unquote_plus(path)
        metric = next(iter(re.findall(r"increase\(sign_recognizer_(\w+)", query)))
        result = [
            {"metric": {"version": "1", label(metric): key}, "value": [0, str(value)]}
            for key, value in series.get(metric, {}).items()
        ]
        data = {"resultType": "vector", "result": result}
        return 200, "application/json", json.dumps({"status": "success", "data": data})

    return answer


def test_contradictions_are_no_counts() -> None:
    series = {
        "scenes_total": {"": 10.0},
        "empty_scenes_total": {"": 10.4},
        "signs_total": {"0": 3.0, "1": 0.0, "2": 4.0},
        "scene_brightness_bucket": {"+Inf": 100.0, "50": 40.0, "100": 99.7, "150": 99.5},
        "scene_sharpness_bucket": {"+Inf": 100.0, "50.0": 80.0, "100": 40.0},
        "class_score_bucket": {"+Inf": 100.0},
        "detection_score_bucket": {"+Inf": 100.0, "high": 80.0},
    }
    label = lambda metric: {"signs_total": "class_id"}.get(metric, "le" if "bucket" in metric else "none")  # noqa: E731
    with page(answering(series, label)) as where:
        window = Prometheus(f"http://{where}").read_windows()["1"]

    assert window.counts[EMPTY].tolist() == [0, 10.4], "no scene less than none has signs"
    assert window.counts[CLASSES].tolist() == [3, 0, 4]
    assert window.counts["scene_brightness"] == pytest.approx(np.array([40, 59.7, 0, 0.5]))
    assert window.edges == {"scene_brightness": (50, 100, 150)}
    contradiction = "its buckets contradict each other: are different releases published under one version?"
    assert window.problems == {
        "scene_sharpness": contradiction,
        "class_score": "its buckets are not all there",
        "detection_score": "could not convert string to float: 'high'",
        "sign_size_pixels": "the server publishes no such metric",
    }


def test_classes_that_are_not_all_there_are_no_counts() -> None:
    series = {"scenes_total": {"": 10.0}, "signs_total": {"0": 3.0, "41": 4.0}}
    with page(answering(series, lambda metric: "class_id")) as where:
        window = Prometheus(f"http://{where}").read_windows()["1"]
    assert window.problems[CLASSES] == "its classes are not all there"
