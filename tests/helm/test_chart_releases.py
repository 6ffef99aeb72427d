"""Releases beside each other, below another chart and with long names; and what tests of a release leave behind."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.helm_chart import (
    CHART,
    HELMS,
    OLDEST,
    Object,
    container,
    find_helm,
    merged,
    named,
    of_kind,
    pods,
    render,
    run_helm,
)
from tests.helm.kubernetes_schemas import problems
from tests.helm.value_cases import CASES, LEAST, MONITORING


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    return find_helm(request.param)


ALIASES = ("north", "south")


@pytest.fixture(scope="module")
def umbrella(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that has this one twice, by an alias and a condition each, as a package would hold it."""
    folder = tmp_path_factory.mktemp("charts") / "city"
    shutil.copytree(CHART, folder / "charts" / "traffic-signs")  # follows the links
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    dependencies = [
        {"name": "traffic-signs", "version": version, "alias": alias, "condition": f"{alias}.enabled"}
        for alias in ALIASES
    ]
    about = {"apiVersion": "v2", "name": "city", "version": "1.0.0", "dependencies": dependencies}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    (folder / "values.yaml").write_text("global: {imageRegistry: registry.example.com, storageClass: fast}\n")
    return folder


@pytest.mark.parametrize("enabled", [("north",), ("north", "south")], ids="+".join)
def test_below_another_chart_by_a_condition(helm: str, umbrella: Path, enabled: tuple[str, ...]) -> None:
    values = {name: {**LEAST, "enabled": name in enabled} for name in ("north", "south")}
    objects = render(helm, values, chart=umbrella)
    names = {each["metadata"]["name"] for each in of_kind(objects, "Deployment")}
    assert names == {f"demo-{name}-{part}" for name in enabled for part in ("triton", "gateway")}
    assert not [problem for each in objects for problem in problems(each, "1.35")]
    # The files of the chart are read from where it lies.
    assert named(objects, "ConfigMap", "demo-north-test-picture")["binaryData"]["sign.png"]


@pytest.mark.parametrize("release", ["northsouth", "north-south", "south", "a-north"])
def test_a_release_may_be_called_as_its_parts_are(release: str, umbrella: Path) -> None:
    objects = render(find_helm("helm"), dict.fromkeys(ALIASES, LEAST), chart=umbrella, release=release)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


def test_a_release_that_is_called_as_the_chart_is_has_no_name_twice() -> None:
    objects = render(find_helm("helm"), LEAST, release="traffic-signs")
    assert named(objects, "Deployment", "-triton")["metadata"]["name"] == "traffic-signs-triton"


def rendered_as(release: str, namespace: str, values: dict[str, Any]) -> list[Object]:
    arguments = ("template", release, str(CHART), "--namespace", namespace, "--kube-version", OLDEST)
    done = run_helm(find_helm("helm"), *arguments, values=values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]


def test_two_releases_with_one_prometheus_and_one_grafana() -> None:
    """Rules and dashboards are those of one; alerts on a canary and what is scraped are each release's own."""
    values = merged(CASES["canary by replicas"], {"monitoring": MONITORING})
    both = rendered_as("one", "north", values)
    both += rendered_as("two", "south", merged(values, {"monitoring": {"shared": False}}))
    uids = [
        yaml.safe_load(text)["uid"]
        for each in of_kind(both, "ConfigMap")
        if "-dashboard-" in each["metadata"]["name"]
        for text in each["data"].values()
    ]
    assert uids and len(uids) == len(set(uids))
    rules = [
        rule for each in of_kind(both, "PrometheusRule") for group in each["spec"]["groups"] for rule in group["rules"]
    ]
    recorded = [(rule["record"], rule["expr"], str(rule.get("labels"))) for rule in rules if "record" in rule]
    assert recorded and len(recorded) == len(set(recorded))
    alerts = [(rule["alert"], str(rule["labels"]), rule["expr"]) for rule in rules if "alert" in rule]
    assert len(alerts) == len(set(alerts))
    canaries = [each for each in of_kind(both, "PrometheusRule") if each["metadata"]["name"].endswith("-canary")]
    assert len(canaries) == 2
    assert len(of_kind(both, "ServiceMonitor")) == 4


def test_two_releases_in_one_namespace_share_no_object_and_no_pod() -> None:
    one, two = (rendered_as(name, "signs", CASES["canary by route"]) for name in ("one", "two"))
    names = [{(each["kind"], each["metadata"]["name"]) for each in objects} for objects in (one, two)]
    assert not names[0] & names[1]
    for each in of_kind(one, "Service"):
        selector = each["spec"]["selector"].items()
        assert not [name for name, pod in pods(two) if selector <= pod["metadata"]["labels"].items()]


@pytest.mark.parametrize("ending", ["a", "b"])
def test_long_names_that_begin_alike_differ(ending: str) -> None:
    """Names of 53 letters, the most that Helm takes, that differ in the last."""
    objects = render(find_helm("helm"), CASES["canary by route"], release="r" * 52 + ending)
    others = render(find_helm("helm"), CASES["canary by route"], release="r" * 52 + "c")
    names, theirs = ({each["metadata"]["name"] for each in found} for found in (objects, others))
    assert not names & theirs
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in names)


def test_names_that_yaml_takes_for_something_else_stay_names(helm: str) -> None:
    """A release in Norway, and Secrets, claims and classes that are called 1 or true."""
    values = merged(
        LEAST,
        {
            "fullnameOverride": "no",
            "gpu": {"runtimeClassName": "1"},
            "image": {"pullSecrets": [{"name": "1"}]},
            "models": {
                "source": {"pvc": {"claimName": "1"}},
                "publicKeyConfigMap": "true",
                "publicKeyConfigMapKey": "1",
            },
            "triton": {"priorityClassName": "1", "restrictedApi": {"existingSecret": "", "secretKey": "1"}},
            "gateway": {"priorityClassName": "1"},
            "engineBuilder": {"enabled": True, "existingClaim": "1"},
            "ingress": {"enabled": True, "className": "1", "host": "a.b", "tls": {"secretName": "1"}},
            "route": {
                "enabled": True,
                "host": "a.b",
                "createGateway": {"enabled": True, "className": "1", "tlsSecretName": "1"},
            },
            "monitoring": MONITORING,
            "autoscaling": {"type": "hpa"},
        },
    )
    objects = render(helm, values, release="no")
    assert named(objects, "Ingress")["metadata"]["name"] == "no"
    assert not [problem for each in objects for problem in problems(each, "1.35")]


def test_a_name_that_fits_is_left_as_it_is() -> None:
    objects = render(find_helm("helm"), merged(LEAST, {"fullnameOverride": "s" * 40}))
    assert named(objects, "Deployment", "-triton")["metadata"]["name"] == "s" * 40 + "-triton"


def test_of_each_test_helm_can_print_the_logs(rendered: dict[str, list[Object]]) -> None:
    """It looks for a pod of the name of every hook of a test, and does not know which of two containers is meant."""
    for case, objects in rendered.items():
        hooks = [each for each in objects if "helm.sh/hook" in each["metadata"].get("annotations", {})]
        assert {each["kind"] for each in hooks} <= {"Pod"}, case
        for each in hooks:
            assert each["metadata"]["annotations"]["helm.sh/hook"] == "test"
            assert len(each["spec"]["containers"]) == 1 and "initContainers" not in each["spec"], case
            assert each["spec"]["restartPolicy"] == "Never"
    tests = {each["metadata"]["name"] for each in of_kind(rendered["canary by replicas"], "Pod")}
    assert tests == {f"demo-traffic-signs-test-{name}" for name in ("grpc", "http", "canary", "version")}


def test_what_a_test_reads_belongs_to_the_release(rendered: dict[str, list[Object]]) -> None:
    """So an uninstall takes it along. Its name is new: that of the hook of old is left alone, which nobody owns."""
    picture = named(rendered["least"], "ConfigMap", "-test-picture")
    assert "annotations" not in picture["metadata"]
    assert "demo-traffic-signs-test-image" not in str(rendered["least"])
    for protocol in ("grpc", "http"):
        each = named(rendered["least"], "Pod", f"-test-{protocol}")
        assert picture["metadata"]["name"] in str(container(each, "predict")) + str(each["spec"]["volumes"])


def test_helm_removes_the_pods_of_tests_itself(helm: str) -> None:
    """Helm from 4.1 on prints the logs before it deletes; an older one must leave a pod until the next test."""
    version = run_helm(helm, "version", "--template", "{{ .Version }}").stdout
    objects = render(helm, CASES["canary by replicas"])
    major, minor = (int(part) for part in re.findall(r"\d+", version)[:2])
    for each in of_kind(objects, "Pod"):
        annotations = each["metadata"]["annotations"]
        policies = annotations["helm.sh/hook-delete-policy"].split(",")
        if (major, minor) >= (4, 1):
            assert policies == ["before-hook-creation", "hook-succeeded", "hook-failed"]
            assert annotations["helm.sh/hook-output-log-policy"] == "hook-failed", "or a failed test says nothing"
        else:
            assert policies == ["before-hook-creation"]


def test_a_url_from_a_file_may_end_with_a_newline(helm: str) -> None:
    """As `--set-file models.source.bucket.url=FILE` gives it."""
    values = merged(LEAST, {"models": {"source": {"type": "bucket", "bucket": {"url": "s3://models/signs\n"}}}})
    pull = container(named(render(helm, values), "Deployment", "-triton")["spec"]["template"], "pull-models")
    assert pull["args"][2] == "s3://models/signs"


def test_versions_from_a_registry_are_pulled_by_their_digests(rendered: dict[str, list[Object]]) -> None:
    """Each by an init container of its own, signed, with the login of a Secret; the challenger brings its own."""
    for ending, number in (("-triton", 3), ("-canary", 4)):
        spec = named(rendered["registry"], "Deployment", ending)["spec"]["template"]["spec"]
        assert [each["name"] for each in spec["initContainers"]] == [
            "pull-sign-classifier",
            "pull-sign-detector",
            "pull-sign-recognizer",
        ]
        first = spec["initContainers"][0]
        assert first["args"] == [
            "repository",
            "pull",
            f"oci://registry.example.com/models@sha256:{str(number) * 64}",
            "/models",
            f"--version=sign_classifier={number}",
            "--configuration=gpu",
            "--public-key=/keys/release.pub",
        ]
        assert {"name": "DOCKER_CONFIG", "value": "/credentials"} in first["env"]
        (login,) = [volume["secret"] for volume in spec["volumes"] if volume["name"] == "credentials"]
        assert login == {"secretName": "registry", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}
    egress = named(rendered["registry"], "NetworkPolicy", "-triton")["spec"]["egress"]
    assert {"port": 443, "protocol": "TCP"} in [port for rule in egress for port in rule["ports"]]


def test_models_whose_names_are_alike_are_pulled_by_two_containers() -> None:
    alike = ("a_b", "a.b", "a-b", "A_b", "a_b_", "m" * 70, "m" * 71)
    oci = {"repository": "registry:5000/models", "digests": {name: {1: "sha256:" + "1" * 64} for name in alike}}
    values = merged(LEAST, {"models": {"source": {"type": "oci", "oci": oci}}})
    values["models"]["versions"] = dict.fromkeys(alike, 1)
    pod = named(render(find_helm("helm"), values), "Deployment", "-triton")["spec"]["template"]
    names = [each["name"] for each in pod["spec"]["initContainers"]]
    assert len(names) == len(set(names)) == len(alike)
    assert "pull-a-b" in names
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in names)


def test_a_registry_in_the_cluster_may_have_no_tls_and_a_port_of_its_own(rendered: dict[str, list[Object]]) -> None:
    pull = container(named(rendered["openshift"], "Deployment", "-triton")["spec"]["template"], "pull-sign-classifier")
    assert "--plain-http" in pull["args"]
    egress = named(rendered["openshift"], "NetworkPolicy", "-triton")["spec"]["egress"]
    assert [port["port"] for port in egress[-1]["ports"]] == [443, 5000]


def test_on_openshift_names_are_looked_up_on_its_port(rendered: dict[str, list[Object]]) -> None:
    egress = named(rendered["openshift"], "NetworkPolicy", "-gateway")["spec"]["egress"]
    assert [port["port"] for port in egress[0]["ports"]] == [5353, 5353]
