"""Rules and dashboards are the very files of monitoring/, and a canary's alerts fire when, and only when, they should.

`files/prometheus` and `files/dashboards` of the chart are links. The first tests put files of their own in place of the
links, in a copy of the chart, since the folders may still be empty.
"""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.server import free_ports
from tests.helm.helm_chart import CHART, HELMS, Object, container, find_helm, merged, named, of_kind, render
from tests.helm.value_cases import CASES
from tests.monitoring.programs import NO_PROMETHEUS

RULES = """
# A comment that Prometheus does not need.
groups:
  - name: serving
    interval: 30s
    rules:
      - record: model:nv_inference_queue:mean_us
        expr: sum by (model) (rate(nv_inference_queue_duration_us[5m]))
      - alert: QueueTooLong
        expr: model:nv_inference_queue:mean_us > 1e4
        for: 10m
        labels: {severity: warning}
        annotations:
          summary: "{{ $labels.model }} waits {{ $value | humanize }} us"
"""
PROMTOOL_TEST = "rule_files: [serving.yml]\ntests: []\n"
DASHBOARD = {"title": "Signs", "panels": [{"targets": [{"expr": "up", "legendFormat": "{{pod}} {{model}}"}]}]}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the chart with files where the links lead."""
    folder = tmp_path_factory.mktemp("chart")
    shutil.copytree(CHART, folder / "traffic-signs", symlinks=True)
    files = folder / "traffic-signs" / "files"
    for name in ("prometheus", "dashboards"):
        assert (files / name).is_symlink()
        (files / name).unlink()
    (folder / "monitoring" / "prometheus" / "tests").mkdir(parents=True)
    (folder / "monitoring" / "grafana" / "dashboards").mkdir(parents=True)
    (files / "canary-checks.yaml").unlink()
    shutil.copy(CHART / "files" / "canary-checks.yaml", files)
    (files / "prometheus").symlink_to("../../monitoring/prometheus")
    (files / "dashboards").symlink_to("../../monitoring/grafana/dashboards")
    (files / "prometheus" / "serving_alerts.yml").write_text(RULES)
    (files / "prometheus" / "tests" / "serving.test.yaml").write_text(PROMTOOL_TEST)
    (files / "dashboards" / "Signs served.json").write_text(json.dumps(DASHBOARD, indent=2))
    return folder / "traffic-signs"


@pytest.mark.parametrize("name", HELMS)
def test_rules_and_dashboards_are_the_very_files(name: str, chart: Path) -> None:
    objects = render(find_helm(name), CASES["hpa"], chart=chart)
    rule = named(objects, "PrometheusRule")
    assert rule["metadata"]["name"] == "demo-traffic-signs-serving-alerts"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == yaml.safe_load(RULES)
    dashboard = named(objects, "ConfigMap", "-dashboard-signs-served")
    assert json.loads(dashboard["data"]["Signs served.json"]) == DASHBOARD
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"] == {"grafana_folder": "Signs"}


def ordered(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def test_all_files_of_monitoring_are_there(rendered: dict[str, list[Object]]) -> None:
    """As many as there are now; a rule that is added there is in the chart at once."""
    monitoring = CHART.parents[1] / "monitoring"
    files = [yaml.safe_load(path.read_text()) for path in sorted((monitoring / "prometheus").rglob("*.y*ml"))]
    groups = [group for content in files if isinstance(content, dict) for group in content.get("groups", [])]
    found = [group for rule in of_kind(rendered["hpa"], "PrometheusRule") for group in rule["spec"]["groups"]]
    assert sorted(found, key=ordered) == sorted(groups, key=ordered)
    dashboards = sorted((monitoring / "grafana" / "dashboards").rglob("*.json"))
    maps = [each for each in of_kind(rendered["hpa"], "ConfigMap") if "-dashboard-" in each["metadata"]["name"]]
    texts = [json.loads(text) for each in maps for text in each["data"].values()]
    assert sorted(texts, key=ordered) == sorted((json.loads(path.read_text()) for path in dashboards), key=ordered)


def test_series_can_be_distinguished(rendered: dict[str, list[Object]]) -> None:
    """The labels that queries of canary, autoscaler and alerts select by are those that the ServiceMonitor gives."""
    endpoint = named(rendered["canary by replicas"], "ServiceMonitor", "-triton")["spec"]["endpoints"][0]
    labels = {each["targetLabel"]: each for each in endpoint["relabelings"]}
    assert labels["release"]["replacement"] == "demo-traffic-signs"
    assert labels["job"]["replacement"] == "triton"
    assert labels["track"]["sourceLabels"] == ["__meta_kubernetes_pod_label_track"]
    for ending in ("-triton", "-triton-canary"):
        pod = named(rendered["canary by replicas"], "Deployment", ending)["spec"]["template"]
        assert pod["metadata"]["labels"]["track"] == ("canary" if "canary" in ending else "stable")


@pytest.fixture(scope="module")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip(NO_PROMETHEUS)
    return path


# Increments a second of the champion's and the challenger's series, by what is wrong with the challenger. Times are in
# microseconds. The champion answers ten requests a second in 10 ms each, and a hundredth of a request a second fails.
GOOD = {
    "nv_inference_request_success": (10, 1),
    "nv_inference_request_failure": (0.01, 0),
    "nv_inference_request_duration_us": (100_000, 12_000),
    "sign_recognizer_scenes_total": (5, 0.5),
    "sign_recognizer_failures_total": (0.1, 0.01),
    "sign_recognizer_empty_scenes_total": (1, 0.12),
    "sign_recognizer_signs_total": (8, 0.8),
    "sign_recognizer_category_mismatches_total": (0.4, 0.05),
    "sign_recognizer_class_score_sum": (7.6, 0.75),
    "sign_recognizer_class_score_count": (8, 0.8),
}
WORSE: dict[str, dict[str, float]] = {
    "nothing": {},
    "TooFewRequests": {"nv_inference_request_success": 0.05, "nv_inference_request_duration_us": 500},
    "FailsMore": {"nv_inference_request_failure": 0.05},
    "Slower": {"nv_inference_request_duration_us": 20_000},
    "RefusesMore": {"sign_recognizer_failures_total": 0.05},
    "MismatchesMore": {"sign_recognizer_category_mismatches_total": 0.1},
    "FindsLess": {"sign_recognizer_empty_scenes_total": 0.2},
    "LessSure": {"sign_recognizer_class_score_sum": 0.6},
}


@pytest.mark.parametrize("wrong", WORSE)
def test_alerts_of_a_canary(wrong: str, promtool: str, rendered: dict[str, list[Object]], tmp_path: Path) -> None:
    """Run by promtool over an hour: the one that is meant fires, and no other."""
    series = []
    for name, (champion, challenger) in GOOD.items():
        for track, rate in (("stable", champion), ("canary", WORSE[wrong].get(name, challenger))):
            labels = f'namespace="signs",release="demo-traffic-signs",track="{track}"'
            series.append({"series": f"{name}{{{labels}}}", "values": f"0+{rate * 60:g}x60"})
    # Another release does badly, and does not matter.
    other = 'namespace="signs",release="other",track="canary"'
    series.append({"series": f"nv_inference_request_failure{{{other}}}", "values": "0+600x60"})
    check_alerts(promtool, rendered, tmp_path, series, {wrong} - {"nothing"})


def test_a_challenger_that_nobody_asks_is_not_evaluated(
    promtool: str, rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    """No series, as of a classifier without recognizer: too few requests, and no other verdict."""
    check_alerts(promtool, rendered, tmp_path, [], {"TooFewRequests"})


def check_alerts(
    promtool: str, rendered: dict[str, list[Object]], folder: Path, series: list[Any], firing: set[str]
) -> None:
    rule = named(rendered["canary by replicas"], "PrometheusRule", "-canary")
    (folder / "canary.yml").write_text(yaml.safe_dump(rule["spec"]))
    (group,) = rule["spec"]["groups"]
    alerts = []
    for each in group["rules"]:
        name = each["alert"].removeprefix("Challenger")
        expected = [{"exp_labels": each["labels"], "exp_annotations": each["annotations"]}] if name in firing else []
        alerts.append({"eval_time": "50m", "alertname": each["alert"], "exp_alerts": expected})
    assert firing <= {each["alertname"].removeprefix("Challenger") for each in alerts}
    test = {"interval": "1m", "input_series": series, "alert_rule_test": alerts}
    (folder / "test.yml").write_text(yaml.safe_dump({"rule_files": ["canary.yml"], "tests": [test]}))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_check_of_a_canary_is_tested() -> None:
    checks = yaml.safe_load((CHART / "files" / "canary-checks.yaml").read_text())["checks"]
    assert [each["name"] for each in checks] == [name for name in WORSE if name != "nothing"]


@pytest.mark.parametrize(
    ("busy", "idle", "microseconds"),
    [((50, 100_000), (5, 0), 1_818.2), ((0.1, 1_000), (0, 0), 1_000), ((0, 0), (0, 0), 0)],
)
def test_the_queue_time_that_scales(
    busy: tuple[float, float],
    idle: tuple[float, float],
    microseconds: float,
    promtool: str,
    rendered: dict[str, list[Object]],
    tmp_path: Path,
) -> None:
    """Of requests and microseconds of waiting a second, of two models: their sum is divided, and never by nothing."""
    series = []
    for model, (requests, waited) in (("busy", busy), ("idle", idle)):
        labels = f'namespace="signs",release="demo-traffic-signs",track="stable",model="{model}"'
        for name, rate in (("nv_inference_request_success", requests), ("nv_inference_queue_duration_us", waited)):
            series.append({"series": f"{name}{{{labels}}}", "values": f"0+{rate * 60:g}x20"})
    query = named(rendered["keda"], "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    rounded = {"expr": f"round({query}, 0.1)", "eval_time": "10m", "exp_samples": [{"value": microseconds}]}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [rounded]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prometheus(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that scrapes nothing."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip(NO_PROMETHEUS)
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "empty.yml").write_text("{}")
    url = f"http://127.0.0.1:{free_ports().http}"
    arguments = [f"--config.file={folder}/empty.yml", f"--storage.tsdb.path={folder}/data"]
    arguments.append(f"--web.listen-address={url.removeprefix('http://')}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, *arguments], stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{url}/-/ready", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def compare(url: str, checks: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs the command of the test of a canary, as it is rendered, on checks in a folder."""
    values = merged(CASES["canary by replicas"], {"canary": {"analysis": {"prometheusUrl": url}}})
    objects = render(find_helm("helm"), values)
    each = container(named(objects, "Pod", "-test-canary"), "analysis")
    for name, text in (checks or named(objects, "ConfigMap", "-canary-checks")["data"]).items():
        (folder / name).write_text(text)
    command = [*each["command"], *(argument.replace("/checks", str(folder)) for argument in each["args"])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_test_of_a_canary_asks_prometheus(prometheus: str, tmp_path: Path) -> None:
    """There is nothing to compare by: it fails, and says so alone."""
    done = compare(prometheus, {}, tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("TooFewRequests: The challenger has answered fewer than 100 requests")
    assert len(done.stdout.splitlines()) == 1


def test_a_challenger_that_does_no_worse_passes(prometheus: str, tmp_path: Path) -> None:
    done = compare(prometheus, {"Never.promql": "# never\nvector(1) > 2"}, tmp_path)
    assert (done.returncode, done.stdout) == (0, "the challenger does no worse than the champion\n"), done.stderr


@pytest.mark.parametrize("what", ["no server", "no query"])
def test_a_question_without_an_answer_is_no_pass(what: str, prometheus: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_ports().http}" if what == "no server" else prometheus
    done = compare(
        url, {"Broken.promql": "# broken\nsum(" if what == "no query" else "# never\nvector(1) > 2"}, tmp_path
    )
    assert done.returncode
    assert "no worse" not in done.stdout
