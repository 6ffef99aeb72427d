"""Helm 3 and Helm 4 render the chart alike, over a matrix of values, and Kubernetes 1.29 to 1.35 take the result."""

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.helm_chart import (
    CHART,
    HELMS,
    OLDEST,
    Object,
    find_helm,
    merged,
    named,
    of_kind,
    pods,
    render,
    run_helm,
    without,
)
from tests.helm.kubernetes_schemas import problems
from tests.helm.value_cases import CASES, LEAST, kube_of, kubes_of


@pytest.fixture(scope="module", params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    return find_helm(request.param)


def test_both_helms_render_alike(rendered: dict[str, list[Object]]) -> None:
    """The key that the chart makes is random, and is in no other case; how tests end is another test's."""
    other = find_helm("helm3")
    with ThreadPoolExecutor(4) as pool:
        again = dict(zip(CASES, pool.map(lambda case: render(other, CASES[case], kube_of(case)), CASES), strict=True))
    for case, objects in rendered.items():
        assert without(objects, "Secret", "Pod") == without(again[case], "Secret", "Pod"), case
        for mine, theirs in zip(of_kind(objects, "Pod"), of_kind(again[case], "Pod"), strict=True):
            assert mine["spec"] == theirs["spec"], case
    assert named(rendered["own secret"], "Secret")["data"] != named(again["own secret"], "Secret")["data"]


def test_kubernetes_takes_what_is_rendered(rendered: dict[str, list[Object]]) -> None:
    wrong, seen = [], set()
    for case, objects in rendered.items():
        for each in objects:
            for kube in kubes_of(case):
                text = f"{kube} {json.dumps(each, sort_keys=True)}"
                if text not in seen:
                    seen.add(text)
                    wrong += [f"{case}, Kubernetes {kube}: {problem}" for problem in problems(each, kube)]
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 700


def test_every_kind_is_reached(rendered: dict[str, list[Object]]) -> None:
    kinds = {each["kind"] for objects in rendered.values() for each in objects}
    assert kinds == {
        *("AnalysisTemplate", "ConfigMap", "Deployment", "Gateway", "GRPCRoute", "HorizontalPodAutoscaler"),
        *(
            "HTTPRoute",
            "Ingress",
            "MetricTemplate",
            "NetworkPolicy",
            "PersistentVolumeClaim",
            "Pod",
            "PodDisruptionBudget",
            "PrometheusRule",
            "ScaledObject",
        ),
        *("Secret", "Service", "ServiceAccount", "ServiceMonitor"),
    }


@pytest.mark.parametrize(
    "change", ["unknown field", "wrong type", "field of a later Kubernetes", "unknown operator field"]
)
def test_a_wrong_object_is_noticed(change: str, rendered: dict[str, list[Object]]) -> None:
    """The validation can fail: what is right is damaged, and must be refused."""
    case = {"field of a later Kubernetes": "image", "unknown operator field": "keda"}.get(change, "least")
    kind = {"unknown operator field": "ScaledObject"}.get(change, "Deployment")
    objects = json.loads(json.dumps(rendered[case]))
    each: dict[str, Any] = named(objects, kind, "triton")
    assert not problems(each, "1.31")
    if change == "wrong type":
        each["spec"]["replicas"] = "two"
    elif change != "field of a later Kubernetes":
        each["spec"]["replicsa"] = 2
    assert problems(each, "1.30" if change == "field of a later Kubernetes" else "1.31")


@pytest.mark.parametrize("case", ["none", "least", "canary by route"])
def test_lint(case: str, helm: str) -> None:
    """Of the chart as it is, which is how it is linted before it is published, and with values."""
    done = run_helm(helm, "lint", "--strict", str(CHART), values=CASES.get(case))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr
    assert "[ERROR]" not in done.stdout + done.stderr


def test_what_must_be_said_is_asked_for(helm: str) -> None:
    done = run_helm(helm, "template", "demo", str(CHART))
    assert done.returncode
    assert "models.versions: name at least one model and its version" in done.stderr
    assert "models.source.pvc.claimName: name the claim" in done.stderr


def test_an_older_kubernetes_is_refused(helm: str) -> None:
    done = run_helm(helm, "template", "demo", str(CHART), "--kube-version", "1.28.0", values=CASES["least"])
    assert done.returncode
    assert "1.29.0" in done.stderr


def test_a_package_holds_the_linked_files(helm: str, tmp_path: Path, rendered: dict[str, list[Object]]) -> None:
    """`helm package` follows the links to monitoring, and the package renders what the folder does."""
    assert run_helm(helm, "package", str(CHART), "--destination", str(tmp_path)).returncode == 0
    (package,) = tmp_path.iterdir()
    listing = subprocess.run(["tar", "-tvzf", package], capture_output=True, text=True, check=True).stdout.splitlines()
    assert all(line.startswith("-") for line in listing), "a link would lead nowhere"
    names = {line.split()[-1].removeprefix("traffic-signs/files/") for line in listing}
    for folder in ("prometheus", "dashboards"):
        linked = (CHART / "files" / folder).resolve()
        files = {f"{folder}/{path.relative_to(linked)}" for path in linked.rglob("*.*") if path.name != ".gitkeep"}
        assert files <= names
    assert render(find_helm("helm"), CASES["keda"], chart=package) == rendered["keda"]


def notes_to(values: Mapping[str, Any]) -> str:
    """Returns what Helm prints after an installation; only Helm 4 shows it without a cluster."""
    arguments = ("install", "demo", str(CHART), "--namespace", "signs", "--dry-run=client")
    done = run_helm(find_helm("helm"), *arguments, values=values)
    assert done.returncode == 0, done.stderr
    assert "<no value>" not in done.stdout
    return done.stdout.partition("NOTES:")[2]


def test_the_notes_name_the_next_commands() -> None:
    notes = notes_to(CASES["canary by replicas"])
    assert "rollout status deployment/demo-traffic-signs-triton" in notes
    assert "helm -n signs test demo --logs" in notes
    assert "sign_classifier 2 gets the share of its pods: 1 of 3, which is 33%." in notes
    assert "--set canary.state=promoted" in notes
    assert "networkPolicy.clientsFrom" in notes


def test_a_challenger_without_weight_is_brought_up_first() -> None:
    values = merged(CASES["canary by route"], {"canary": {"weight": 0}})
    assert "--set canary.weight=10" in notes_to(values)
    assert "rollout status deployment/demo-traffic-signs-triton-canary" in notes_to(values)
    assert "--set canary.weight" not in notes_to(CASES["canary by route"])


def test_the_command_after_a_promotion_rolls_nothing_out(tmp_path: Path) -> None:
    """It is run as it is printed, over the values of the release; a dot in a model's name is no key of its own."""
    versions = {"sign_classifier": 2, "other.model": [4, 5]}
    first = {"sign_classifier": 1, "other.model": 3}
    values = merged(LEAST, {"models": {"versions": first}, "canary": {"state": "promoted", "versions": versions}})
    (command,) = re.findall(r"^ +helm upgrade (.* --set canary.state=none .*)$", notes_to(values), re.MULTILINE)
    given = shlex.split(command.partition("--reset-then-reuse-values ")[2])
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))

    arguments = ("template", "demo", str(CHART), "--namespace", "signs", "--kube-version", OLDEST)
    done = run_helm(find_helm("helm"), *arguments, "--values", str(tmp_path / "values.yaml"), *given)

    assert done.returncode == 0, done.stderr
    assert [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each] == render(find_helm("helm"), values)


def test_what_is_not_served_is_not_tested() -> None:
    values = merged(LEAST, {"models": {"versions": {"sign_detector": 1}}})
    values["models"]["versions"].pop("sign_classifier")
    assert "-test-grpc" not in str(render(find_helm("helm"), values))
    notes = notes_to(values)
    assert "helm -n signs test" not in notes and "signs predict" not in notes
    assert "--set 'models.versions.sign_detector=N'" in notes


@pytest.mark.parametrize("release", ["r" * 53, "signs.production"])
def test_names_fit_every_release(release: str, rendered: dict[str, list[Object]]) -> None:
    """The longest name that Helm takes, and one with a dot, which a Service must not have."""
    objects = render(find_helm("helm"), CASES["canary by route"], release=release)
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", each["metadata"]["name"]) for each in objects)
    assert len(objects) == len(rendered["canary by route"])
    assert all(len(value) <= 63 for _, pod in pods(objects) for value in pod["metadata"]["labels"].values())
