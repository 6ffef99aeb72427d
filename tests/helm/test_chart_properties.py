"""What must hold for every object of the chart, whatever the values: nothing unlimited, unpinned, open or dangling."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.helm.helm_chart import (
    CHART,
    Object,
    container,
    containers,
    labels_match,
    named,
    of_kind,
    pods,
    without,
)
from tests.helm.value_cases import CASES, POD

Rendered = dict[str, list[Object]]


def each_pod(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    for case, objects in rendered.items():
        for name, pod in pods(objects):
            yield f"{case}: {name}", pod


def each_container(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    for name, pod in each_pod(rendered):
        for each in containers(pod):
            yield f"{name}: {each['name']}", each


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from strings(below)
    elif isinstance(value, list):
        for below in value:
            yield from strings(below)
    elif isinstance(value, str):
        yield value


def test_every_container_has_requests_and_limits(rendered: Rendered) -> None:
    for name, each in each_container(rendered):
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(each["resources"][kind]), f"{name} has no {kind}"


def test_every_image_has_a_version(rendered: Rendered) -> None:
    images = [(name, each["image"]) for name, each in each_container(rendered)]
    for name, pod in each_pod(rendered):
        images += [(name, each["image"]["reference"]) for each in pod["spec"]["volumes"] if "image" in each]
    for name, image in images:
        assert re.search(r"(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$", image.rpartition("/")[2]), f"{name}: {image}"
        assert not image.endswith(":latest"), name


def test_every_pod_is_restricted(rendered: Rendered) -> None:
    """What the strictest of the Pod Security Standards asks for, a read-only image, and no token of the cluster."""
    for name, pod in each_pod(rendered):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        if "openshift" in name:  # the namespace chooses them
            assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(spec["securityContext"]), name
        else:
            assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        allowed = {"name", "emptyDir", "configMap", "secret", "persistentVolumeClaim", "image"}
        assert all(set(volume) <= allowed for volume in spec["volumes"]), name
    for name, each in each_container(rendered):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"name": "HOME", "value": "/tmp"} in each["env"], f"{name} could write nowhere"
        assert "/tmp" in [mount["mountPath"] for mount in each["volumeMounts"]], name
    for objects in rendered.values():
        for account in of_kind(objects, "ServiceAccount"):
            assert account["automountServiceAccountToken"] is False


def test_mounts_lead_to_volumes_and_volumes_to_what_is_there(rendered: Rendered) -> None:
    """ConfigMaps, Secrets, claims and accounts are the release's own, or values name them."""
    for case, objects in rendered.items():
        own = {(each["kind"], each["metadata"]["name"]) for each in objects}
        given = set(strings(CASES[case]))
        for name, pod in pods(objects):
            volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
            mounts = [mount["name"] for each in containers(pod) for mount in each["volumeMounts"]]
            assert set(mounts) == volumes, f"{case}: {name}"
            references = [("ServiceAccount", pod["spec"]["serviceAccountName"])]
            for volume in pod["spec"]["volumes"]:
                references += [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else []
                references += [("Secret", volume["secret"]["secretName"])] if "secret" in volume else []
                if "persistentVolumeClaim" in volume:
                    references.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
            for each in containers(pod):
                for variable in each["env"]:
                    secret = variable.get("valueFrom", {}).get("secretKeyRef")
                    references += [("Secret", secret["name"])] if secret else []
            for kind, reference in references:
                assert (kind, reference) in own or reference in given or reference == "default", (
                    f"{case}: {name}: {reference}"
                )


def test_every_selector_matches(rendered: Rendered) -> None:
    """And a Deployment's matches no pod of another."""
    for case, objects in rendered.items():
        labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects)}
        for each in of_kind(objects, "Deployment"):
            name = f"Deployment {each['metadata']['name']}"
            assert [other for other in labels if labels_match(each["spec"]["selector"], labels[other])] == [name]
            for spread in each["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
                assert labels_match(spread["labelSelector"], labels[name])
        for each in of_kind(objects, "Service"):
            assert any(labels_match({"matchLabels": each["spec"]["selector"]}, found) for found in labels.values()), (
                case
            )
        for each in of_kind(objects, "PodDisruptionBudget"):
            assert any(labels_match(each["spec"]["selector"], found) for found in labels.values()), case
        for each in of_kind(objects, "NetworkPolicy"):
            assert any(labels_match(each["spec"]["podSelector"], found) for found in labels.values()), each["metadata"]
        for each in of_kind(objects, "ServiceMonitor"):
            ports = {endpoint["port"] for endpoint in each["spec"]["endpoints"]}
            chosen = [
                s
                for s in of_kind(objects, "Service")
                if labels_match(each["spec"]["selector"], s["metadata"]["labels"])
            ]
            assert any(port["name"] in ports for service in chosen for port in service["spec"]["ports"]), case


def test_ports_of_services_are_ports_of_containers(rendered: Rendered) -> None:
    for case, objects in rendered.items():
        for service in of_kind(objects, "Service"):
            selector = {"matchLabels": service["spec"]["selector"]}
            for _, pod in pods(objects):
                if labels_match(selector, pod["metadata"]["labels"]):
                    names = {port["name"] for each in containers(pod) for port in each.get("ports", [])}
                    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names, case
        for each in strings_with_ports(objects):
            assert each.get("protocol"), f"{case}: a port without protocol cannot be merged by the server: {each}"


def strings_with_ports(value: Any) -> Iterator[dict[str, Any]]:
    """Gives the entries of all lists `ports`."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key == "ports" and isinstance(below, list):
                yield from below
            yield from strings_with_ports(below)
    elif isinstance(value, list):
        for below in value:
            yield from strings_with_ports(below)


def test_backends_and_targets_are_there(rendered: Rendered) -> None:
    for case, objects in rendered.items():
        services = {s["metadata"]["name"]: {p["port"] for p in s["spec"]["ports"]} for s in of_kind(objects, "Service")}
        backends = [
            (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["number"])
            for each in of_kind(objects, "Ingress")
            for rule in each["spec"]["rules"]
            for path in rule["http"]["paths"]
        ] + [
            (backend["name"], backend["port"])
            for each in of_kind(objects, "HTTPRoute", "GRPCRoute")
            for rule in each["spec"]["rules"]
            for backend in rule["backendRefs"]
        ]
        for name, port in backends:
            assert port in services[name], case
        deployments = {each["metadata"]["name"] for each in of_kind(objects, "Deployment")}
        for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
            assert each["spec"]["scaleTargetRef"]["name"] in deployments


def test_no_two_objects_have_one_name(rendered: Rendered) -> None:
    for case, objects in rendered.items():
        names = Counter((each["kind"], each["metadata"]["name"]) for each in objects)
        assert names.most_common(1)[0][1] == 1, case


def test_one_autoscaler_at_most_and_then_no_number_of_pods(rendered: Rendered) -> None:
    for case, objects in rendered.items():
        scalers = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
        assert len(scalers) == (1 if "autoscaling" in CASES[case] else 0), case
        assert ("replicas" in named(objects, "Deployment", "-triton")["spec"]) == (not scalers), case


def test_a_pod_ends_without_losing_requests(rendered: Rendered) -> None:
    """The grace period covers the drain and the time for requests in flight; no pod goes before another is there."""
    for case, objects in rendered.items():
        for deployment in of_kind(objects, "Deployment"):
            spec = deployment["spec"]["template"]["spec"]
            main = spec["containers"][0]
            if main["name"] == "gateway":
                (delay,) = [each["value"] for each in main["env"] if each["name"] == "SIGNS_GATEWAY_DRAIN_DELAY"]
            else:
                command, delay = main["lifecycle"]["preStop"]["exec"]["command"]
                assert command == "sleep"
            left = spec["terminationGracePeriodSeconds"] - int(delay)
            for argument in main.get("args", []):
                if argument.startswith("--exit-timeout-secs="):
                    assert left > int(argument.partition("=")[2]), case
            assert left >= 35, case
            if case != "example laptop":
                assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, case


def test_secrets_stand_in_no_object(rendered: Rendered) -> None:
    """The key of the administrators is in its Secret alone; arguments name the variable."""
    for case, objects in rendered.items():
        arguments = container(named(objects, "Deployment", "-triton")["spec"]["template"], "tritonserver")["args"]
        restricted = [each for each in arguments if "restricted" in each]
        assert len(restricted) == (0 if case == "open" else 2)
        assert all(each.endswith("admin-key=$(TRITON_ADMIN_KEY)") for each in restricted)
        keys = of_kind(objects, "Secret")
        assert len(keys) == (case == "own secret" or "example" in case), case
        for each in keys:
            assert list(strings(without(objects, "Secret"))).count(each["data"]["admin-key"]) == 0


def test_pods_do_not_carry_the_version_of_the_chart(rendered: Rendered) -> None:
    """Otherwise each release of the chart would start all pods anew."""
    for name, pod in each_pod(
        {"all": [each for objects in rendered.values() for each in of_kind(objects, "Deployment")]}
    ):
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(pod["metadata"]["labels"]), name


def test_the_servers_entrypoint_is_the_images(rendered: Rendered) -> None:
    """NVIDIA's fits the CUDA libraries to the driver: a command would take its place."""
    for name, each in each_container(rendered):
        if each["name"] == "tritonserver":
            assert "command" not in each and each["args"][0] == "tritonserver", name


@pytest.mark.parametrize("case", ["cpu", "example cpu"])
def test_one_value_takes_all_gpus_away(case: str, rendered: Rendered) -> None:
    assert not [each for each in strings(rendered[case]) if "nvidia" in each.lower()]
    arguments = container(named(rendered[case], "Deployment", "-triton")["spec"]["template"], "tritonserver")["args"]
    assert "--allow-gpu-metrics=false" in arguments
    triton = container(named(rendered["least"], "Deployment", "-triton")["spec"]["template"], "tritonserver")
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_everything_is_closed_but_what_is_named(rendered: Rendered) -> None:
    for case, objects in rendered.items():
        if case == "open":
            assert not of_kind(objects, "NetworkPolicy")
            continue
        closed = named(objects, "NetworkPolicy", "-default-deny")["spec"]
        assert closed.keys() == {"podSelector", "policyTypes"}
        assert closed["policyTypes"] == ["Ingress", "Egress"]
        assert all(labels_match(closed["podSelector"], pod["metadata"]["labels"]) for _, pod in pods(objects))
        triton = named(objects, "NetworkPolicy", "-triton")["spec"]
        given = CASES[case].get("networkPolicy", {}).get("clientsFrom", [])
        assert [peer for peer in triton["ingress"][0]["from"] if peer in given] == given
        assert len(triton["ingress"][0]["from"]) == 1 + len(given), "besides them the release's own gateway and tests"
        assert all(rule.get("from") for rule in triton["ingress"])
    assert "egress" not in named(rendered["least"], "NetworkPolicy", "-triton")["spec"], (
        "nothing to reach, nothing open"
    )


PASSED_ON: dict[str, Callable[[Object], Any]] = {
    "annotations": lambda deployment: deployment["metadata"]["annotations"],
    "podAnnotations": lambda deployment: deployment["spec"]["template"]["metadata"]["annotations"],
    "podLabels": lambda deployment: deployment["spec"]["template"]["metadata"]["labels"],
    "nodeSelector": lambda deployment: deployment["spec"]["template"]["spec"]["nodeSelector"],
    "affinity": lambda deployment: deployment["spec"]["template"]["spec"]["affinity"],
    "tolerations": lambda deployment: deployment["spec"]["template"]["spec"]["tolerations"],
    "priorityClassName": lambda deployment: deployment["spec"]["template"]["spec"]["priorityClassName"],
    "extraEnv": lambda deployment: deployment["spec"]["template"]["spec"]["containers"][0]["env"],
    "extraEnvFrom": lambda deployment: deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"],
    "extraVolumes": lambda deployment: deployment["spec"]["template"]["spec"]["volumes"],
    "extraVolumeMounts": lambda deployment: deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"],
}


@pytest.mark.parametrize("component", ["triton", "gateway"])
@pytest.mark.parametrize("key", PASSED_ON)
def test_what_is_given_arrives(component: str, key: str, rendered: Rendered) -> None:
    deployment = named(rendered["pods"], "Deployment", f"-{component}")
    given, arrived = CASES["pods"][component][key], PASSED_ON[key](deployment)
    if isinstance(given, dict):
        assert given.items() <= arrived.items()
    elif isinstance(given, list):
        assert all(each in arrived for each in given)
    else:
        assert given == arrived


def test_every_pod_may_be_sent_to_nodes_of_ones_own(rendered: Rendered) -> None:
    """Those of `helm test`, too: where all nodes are tainted they would wait for ever."""
    seen = set()
    for name, pod in pods(rendered["pods"]):
        assert POD["nodeSelector"].items() <= pod["spec"]["nodeSelector"].items(), name
        assert POD["tolerations"][0] in pod["spec"]["tolerations"], name
        seen.add(name.partition(" ")[0])
    assert seen == {"Deployment", "Pod"}


def test_gpus_and_their_nodes(rendered: Rendered) -> None:
    spec = named(rendered["pods"], "Deployment", "-triton")["spec"]["template"]["spec"]
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64", "nvidia.com/gpu.product": "NVIDIA-L4"}
    assert [each["key"] for each in spec["tolerations"]] == ["only", "nvidia.com/gpu"]
    assert spec["containers"][0]["resources"]["limits"] == {"cpu": "4", "memory": "4Gi", "nvidia.com/gpu": 2}


def test_autoscalers_ask_for_the_same(rendered: Rendered) -> None:
    """The query of KEDA and that of prometheus-adapter differ in their labels alone: all pods here, each pod there."""
    adapter = yaml.safe_load((CHART / "examples" / "prometheus-adapter.yaml").read_text())["rules"]["custom"][0]
    keda = named(rendered["keda"], "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    asked = adapter["metricsQuery"].replace(" by (<<.GroupBy>>) ", "")
    assert re.sub(r"\{[^}]*\}", "{}", keda) == re.sub(r"\{[^}]*\}", "{}", asked)
    metric = named(rendered["hpa"], "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]
    assert metric["metric"]["name"] == adapter["name"]["as"]
    assert (
        metric["target"]["averageValue"]
        == named(rendered["keda"], "ScaledObject")["spec"]["triggers"][0]["metadata"]["threshold"]
    )
    labels = {"namespace": "signs", "release": "demo-traffic-signs", "track": "stable"}
    assert all(f'{key}="{value}"' in keda for key, value in labels.items())


def test_a_prometheus_that_sees_nothing_scales_nothing(rendered: Rendered) -> None:
    """By default KEDA takes an answer without a number for 0, and pods would go while requests wait."""
    (trigger,) = named(rendered["keda"], "ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_building_engines_is_no_failed_update(rendered: Rendered) -> None:
    """The time for it comes on top of that after which an update without progress counts as failed."""
    plain, built = (named(rendered[case], "Deployment", "-triton")["spec"] for case in ("least", "engines"))
    script = container(built["template"], "build-engines")["command"]
    assert built["progressDeadlineSeconds"] - plain["progressDeadlineSeconds"] == int(script[-2]) == 1800


def test_the_headless_service_has_no_address(rendered: Rendered) -> None:
    assert named(rendered["least"], "Service", "-headless")["spec"]["clusterIP"] == "None"
    env = named(rendered["least"], "Deployment", "-gateway")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "SIGNS_GATEWAY_TRITON_URL", "value": "demo-traffic-signs-triton-headless.signs.svc:8001"} in env
