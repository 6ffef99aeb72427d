"""Pods serve for as long as somebody may still ask them: the sums behind it, in what is rendered and what is refused.

What a server with these very arguments does to its clients is tested in test_chart_served.py.
"""

import inspect
import json
import math
import re
from typing import Any

import pytest

from clients.command.gateway import gateway
from tests.helm.helm_chart import CHART, HELMS, Object, container, find_helm, merged, named, of_kind, render, run_helm
from tests.helm.value_cases import CASES, LEAST, RUNNING

PROXIES_S = 5  # until kube-proxy and ingress controllers send no more
NAMES_S = 35  # gRPC looks a name up every 30 s at most, and the cluster's name server keeps an answer for 5
JITTER = 1.1  # gRPC varies the age of connections by a tenth
KILL_S = 10  # between the end that Triton is given and the kubelet's


def triton_times(deployment: Object) -> dict[str, int]:
    """Seconds of a Deployment of Triton: delay, age, grace, finish (for requests in flight) and kill."""
    spec = deployment["spec"]["template"]["spec"]
    each = container(deployment["spec"]["template"], "tritonserver")
    flags = dict(argument.split("=", 1) for argument in each["args"] if argument.startswith("--grpc-max-connection"))
    (finish,) = [text.partition("=")[2] for text in each["args"] if text.startswith("--exit-timeout-secs=")]
    return {
        "delay": int(each["lifecycle"]["preStop"]["exec"]["command"][1]),
        "age": int(flags["--grpc-max-connection-age"]) // 1000,
        "grace": int(flags["--grpc-max-connection-age-grace"]) // 1000,
        "finish": int(finish),
        "kill": spec["terminationGracePeriodSeconds"],
    }


def test_every_triton_serves_until_its_clients_have_left(rendered: dict[str, list[Object]]) -> None:
    """The sum of docs/updates.md: noticed, the age with its jitter, the grace; and names that are looked up."""
    seen = 0
    for case, objects in rendered.items():
        for deployment in of_kind(objects, "Deployment"):
            if not deployment["metadata"]["name"].endswith("-gateway"):
                times = triton_times(deployment)
                assert times["delay"] >= PROXIES_S + math.ceil(JITTER * times["age"]) + times["grace"], case
                assert times["delay"] >= NAMES_S, case
                assert times["kill"] >= times["delay"] + times["finish"] + KILL_S, case
                seen += 1
    assert seen > len(rendered)


def test_every_gateway_serves_until_its_clients_have_left(rendered: dict[str, list[Object]]) -> None:
    """What has begun may be uploaded and answered; the default of both is the command's own."""
    slowest = sum(inspect.signature(gateway).parameters[name].default for name in ("upload_timeout", "timeout"))
    seen = 0
    for case, objects in rendered.items():
        for deployment in of_kind(objects, "Deployment"):
            if deployment["metadata"]["name"].endswith("-gateway"):
                spec = deployment["spec"]["template"]["spec"]
                env = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
                delay, finish = (int(env[f"SIGNS_GATEWAY_DRAIN_{name}"]) for name in ("DELAY", "TIMEOUT"))
                upload, answer = (float(env[f"SIGNS_GATEWAY_{name}TIMEOUT"] or 0) for name in ("UPLOAD_", ""))
                assert delay >= PROXIES_S and finish >= upload + answer, case
                if "settings" not in CASES[case].get("gateway", {}):
                    assert upload + answer == slowest, "another default than the command's"
                assert spec["terminationGracePeriodSeconds"] >= delay + finish + 5, case
                seen += 1
    assert seen


@pytest.mark.parametrize("name", HELMS)
@pytest.mark.parametrize(
    ("triton", "total"),
    [
        ({"drain": {"delaySeconds": 34}}, "30 s between two look-ups + 5 s .* = 35"),
        ({"grpcConnectionAgeSeconds": 300}, "5 s until proxies have noticed + 330 s .* + 10 s .* = 345"),
        ({"grpcConnectionGraceSeconds": 60}, "5 s until proxies have noticed + 11 s .* + 60 s .* = 76"),
        ({"drain": {"delaySeconds": 35}}, None),
        ({"grpcConnectionAgeSeconds": 60, "drain": {"delaySeconds": 81}}, None),
    ],
)
def test_a_shorter_drain_is_refused_with_the_sum(triton: dict[str, Any], total: str | None, name: str) -> None:
    values = merged(LEAST, {"triton": triton})
    done = run_helm(find_helm(name), "template", "demo", str(CHART), values=values)
    if total is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode
        assert re.search(f"triton.drain.delaySeconds: .*{total.replace('+', '[+]')};", done.stderr), done.stderr


def test_a_gateway_that_waits_longer_for_uploads_needs_a_longer_drain() -> None:
    values = merged(LEAST, {"gateway": {"settings": {"UPLOAD_TIMEOUT": 120, "TIMEOUT": 2.5}}})
    done = run_helm(find_helm("helm"), "template", "demo", str(CHART), values=values)
    assert "gateway.drain.timeoutSeconds: 40 " in done.stderr
    assert "+ 2.5 s (settings.TIMEOUT) = 123;" in done.stderr
    render(find_helm("helm"), merged(values, {"gateway": {"drain": {"timeoutSeconds": 123}}}))


def test_the_longest_times_of_connections_have_a_drain_that_fits() -> None:
    """Each setting at the most that the schema takes: none of them asks for a drain that another forbids."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    of_triton = schema["properties"]["triton"]["properties"]
    age, grace = (of_triton[f"grpcConnection{name}Seconds"]["maximum"] for name in ("Age", "Grace"))
    delay = schema["definitions"]["drain"]["properties"]["delaySeconds"]["maximum"]
    triton = {
        "grpcConnectionAgeSeconds": age,
        "grpcConnectionGraceSeconds": grace,
        "drain": {"delaySeconds": delay},
    }
    times = triton_times(named(render(find_helm("helm"), merged(LEAST, {"triton": triton})), "Deployment", "-triton"))
    assert (times["age"], times["grace"], times["delay"]) == (age, grace, delay)


def test_a_gateway_leaves_no_sooner_than_proxies_notice() -> None:
    """And its times are read where the drain is computed from them: what a pod is given wins over extraEnvFrom."""
    extra = [{"name": "SIGNS_GATEWAY_TIMEOUT", "value": "600"}]
    values = merged(LEAST, {"gateway": {"drain": {"delaySeconds": 4}, "extraEnv": extra}})
    done = run_helm(find_helm("helm"), "template", "demo", str(CHART), values=values)
    assert "gateway.drain.delaySeconds: 4 " in done.stderr
    assert "give it as gateway.settings.TIMEOUT" in done.stderr
    render(find_helm("helm"), merged(LEAST, {"gateway": {"drain": {"delaySeconds": 5}}}))


def test_one_of_several_pods_stays_and_a_single_one_may_go() -> None:
    """An update rounds a percentage down, a budget up, as Kubernetes does."""
    helm = find_helm("helm")
    for pods, rollout, budget in ((2, "99%", "50%"), (3, 2, "66%"), (1, "100%", "100%"), (4, "75%", 3)):
        triton = {
            "replicas": pods,
            "rollout": {"maxUnavailable": rollout},
            "disruptionBudget": {"maxUnavailable": budget},
        }
        render(helm, merged(LEAST, {"triton": triton}))
    too_many = {"rollout": {"maxUnavailable": 2}, "disruptionBudget": {"maxUnavailable": "51%"}}
    done = run_helm(helm, "template", "demo", str(CHART), values=merged(LEAST, {"triton": too_many}))
    assert "triton.rollout.maxUnavailable: 2 " in done.stderr
    assert "triton.disruptionBudget.maxUnavailable: 51% " in done.stderr
    scaled = {"autoscaling": {"type": "hpa", "minReplicas": 3}, "triton": {"disruptionBudget": {"maxUnavailable": 2}}}
    render(helm, merged(LEAST, scaled))


def test_a_rollback_drains_as_the_upgrade_does() -> None:
    """The pods that an update, a rollback or a promotion takes away are those with the times of their own template."""
    before, running, promoted = (
        render(find_helm("helm"), merged(LEAST, {"canary": canary}))
        for canary in ({}, RUNNING, {**RUNNING, "state": "promoted"})
    )
    times = triton_times(named(before, "Deployment", "-triton"))
    for objects, ending in ((running, "-triton"), (running, "-canary"), (promoted, "-triton")):
        assert triton_times(named(objects, "Deployment", ending)) == times


def test_one_pod_at_a_time_may_be_evicted() -> None:
    """A node that is drained evicts pods through the budget, which waits until another is ready."""
    for case in ("least", "canary by replicas"):
        for each in of_kind(render(find_helm("helm"), CASES[case]), "PodDisruptionBudget"):
            assert each["spec"]["maxUnavailable"] == 1
