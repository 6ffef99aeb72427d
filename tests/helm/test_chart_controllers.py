"""The checks of a canary for Argo Rollouts and Flagger: what promtool answers to their queries over made-up series.

Neither controller can run here, since there is no cluster: their placeholders are filled in as their documentation
says, and Argo's conditions are few enough to be read by a function of this file.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.helm_chart import Object, find_helm, merged, named, of_kind, render
from tests.helm.test_chart_monitoring import GOOD, WORSE
from tests.helm.value_cases import CASES, LEAST

CASE = "canary by a controller"
FULL = "demo-traffic-signs"
# Hashes of the templates of the champion's and the challenger's pods, as long as they get.
HASHES = ("7d4f9c8b6f", "55c7d9f8bb")
CONTROLLERS = ("argo", "flagger")
CHECKS = {name for name in WORSE if name not in ("nothing", "TooFewRequests")}


def pod_of(replica_set: str) -> str:
    """Name of a pod, as Kubernetes makes it of that of its ReplicaSet."""
    return f"{replica_set}-"[:58] + "x7k2m"


def pods_of(controller: str, full: str) -> tuple[str, str]:
    """Names of a pod of the champion and one of the challenger."""
    champion = f"{full}-triton-primary" if controller == "flagger" else f"{full}-triton"
    return pod_of(f"{champion}-{HASHES[0]}"), pod_of(f"{full}-triton-{HASHES[1]}")


def queries(objects: list[Object], controller: str, full: str = FULL) -> dict[str, str]:
    """The queries by name of the check, as the controller would send them."""
    if controller == "flagger":
        fill = {"{{ namespace }}": "signs", "{{ target }}": f"{full}-triton"}
        templates = of_kind(objects, "MetricTemplate")
        found = {each["metadata"]["name"].removeprefix(f"{full}-"): each["spec"]["query"] for each in templates}
    else:
        fill = {"{{args.stable-hash}}": HASHES[0], "{{args.canary-hash}}": HASHES[1]}
        metrics = named(objects, "AnalysisTemplate")["spec"]["metrics"]
        found = {each["name"]: each["provider"]["prometheus"]["query"] for each in metrics}
    filled = {}
    for name, query in found.items():
        for mark, value in fill.items():
            query = query.replace(mark, value)
        assert "{{" not in query
        filled["".join(part.title() for part in name.split("-"))] = query
    return filled


@pytest.fixture(scope="module")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("no promtool on the PATH: install Prometheus")
    return path


# What is wrong with a challenger that too few have asked, or that answers nobody.
FEW = {
    "nv_inference_request_success": 0.006,
    "nv_inference_request_failure": 0.0017,
    "nv_inference_request_duration_us": 600,
    **dict.fromkeys(("sign_recognizer_failures_total", "sign_recognizer_empty_scenes_total"), 0.5),
}
FAILS_ALWAYS = {
    **dict.fromkeys(("nv_inference_request_success", "nv_inference_request_duration_us"), 0.0),
    "nv_inference_request_failure": 1.0,
}


def series_of(
    controller: str,
    wrong: str | dict[str, float],
    tracks: tuple[str, ...] = ("champion", "challenger"),
    full: str = FULL,
) -> list[dict[str, str]]:
    """Series of both versions' pods over an hour, with one thing wrong with the challenger."""
    series = []
    for name, rates in GOOD.items():
        worse = WORSE[wrong] if isinstance(wrong, str) else wrong
        champion, challenger = rates[0], worse.get(name, rates[1])
        for track, pod, rate in zip(
            ("champion", "challenger"), pods_of(controller, full), (champion, challenger), strict=True
        ):
            labels = f'namespace="signs",release="{full}",pod="{pod}"'
            if track in tracks:
                series.append({"series": f"{name}{{{labels}}}", "values": f"0+{rate * 60:g}x60"})
    return series


def check(promtool: str, folder: Path, series: list[Any], expected: Mapping[str, tuple[str, int | None]]) -> None:
    """Has promtool compare the answers, each a number or nothing, to queries by name of the check."""
    asked = [
        {"expr": query, "eval_time": "50m", "exp_samples": [] if value is None else [{"labels": "{}", "value": value}]}
        for query, value in expected.values()
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    (folder / "test.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    command = [promtool, "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("controller", CONTROLLERS)
@pytest.mark.parametrize("wrong", [*sorted(CHECKS), "nothing"])
def test_one_where_it_does_worse_and_else_nought(
    wrong: str, controller: str, promtool: str, rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    found = queries(rendered[CASE], controller)
    assert set(found) == CHECKS
    expected = {name: (query, int(name == wrong)) for name, query in found.items()}
    check(promtool, tmp_path, series_of(controller, wrong), expected)


@pytest.mark.parametrize("controller", CONTROLLERS)
@pytest.mark.parametrize(
    ("wrong", "tracks"),
    [
        ("nothing", ()),
        ("nothing", ("champion",)),
        ("nothing", ("challenger",)),
        ("TooFewRequests", ("champion", "challenger")),
        (FEW, ("champion", "challenger")),
    ],
)
def test_nothing_where_there_is_too_little_to_compare(
    wrong: str | dict[str, float],
    tracks: tuple[str, ...],
    controller: str,
    promtool: str,
    rendered: dict[str, list[Object]],
    tmp_path: Path,
) -> None:
    found = queries(rendered[CASE], controller)
    expected = {name: (query, None) for name, query in found.items()}
    check(promtool, tmp_path, series_of(controller, wrong, tracks), expected)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_failures_alone_are_enough_to_fail(
    controller: str, promtool: str, rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    """A challenger that answers nobody would otherwise have answered too few for ever."""
    found = queries(rendered[CASE], controller)
    expected = {name: (query, 1 if name == "FailsMore" else None) for name, query in found.items()}
    check(promtool, tmp_path, series_of(controller, FAILS_ALWAYS), expected)


@pytest.mark.parametrize("controller", CONTROLLERS)
@pytest.mark.parametrize("length", [24, 31, 32, 36, 39, 40])
def test_pods_are_found_by_names_that_kubernetes_has_cut(
    length: int, controller: str, promtool: str, tmp_path: Path
) -> None:
    """Those of another Deployment, whose name only begins like the target's, count for neither."""
    full = "s" * length
    values = merged(CASES[CASE], {"fullnameOverride": full})
    found = queries(render(find_helm("helm"), values), controller, full)
    pods = pods_of(controller, full)
    assert all(len(pod) <= 63 for pod in pods)
    other = pod_of(f"{full}-triton-canary-{HASHES[0][::-1]}")
    labels = f'namespace="signs",release="{full}",pod="{other}"'
    others = [{"series": f"nv_inference_request_failure{{{labels}}}", "values": "0+6000x60"}]

    expected = {name: (query, int(name == "Slower")) for name, query in found.items()}
    check(promtool, tmp_path, series_of(controller, "Slower", full=full) + others, expected)


def phase(metric: dict[str, Any], result: list[int]) -> str:
    """What Argo makes of a measurement: failed, successful, or, where neither condition is met, inconclusive."""
    met = {}
    for kind in ("success", "failure"):
        condition = re.fullmatch(r"len\(result\) > 0 && result\[0\] == (\d)", metric[f"{kind}Condition"])
        assert condition
        met[kind] = bool(result) and result[0] == int(condition[1])
    assert not (met["success"] and met["failure"])
    return next(
        (name for kind, name in (("failure", "failed"), ("success", "successful")) if met[kind]), "inconclusive"
    )


def test_an_answer_of_nothing_is_inconclusive_to_argo(rendered: dict[str, list[Object]]) -> None:
    for metric in named(rendered[CASE], "AnalysisTemplate")["spec"]["metrics"]:
        assert [phase(metric, result) for result in ([], [0], [1])] == ["inconclusive", "successful", "failed"]


def test_they_are_off_by_default(rendered: dict[str, list[Object]]) -> None:
    assert not of_kind(rendered["canary by replicas"], "AnalysisTemplate", "MetricTemplate")


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_release_without_recognizer_is_not_asked_for_it(controller: str) -> None:
    """Its checks would stay inconclusive for ever."""
    objects = render(find_helm("helm"), merged(LEAST, {"canary": CASES[CASE]["canary"]}))
    assert set(queries(objects, controller)) == {"FailsMore", "Slower"}
