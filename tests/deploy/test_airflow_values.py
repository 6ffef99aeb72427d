"""Tests of airflow/values.yaml and airflow/roll-out.yaml: what can be checked without Airflow's chart and a cluster.

That chart cannot be had here, so nothing renders these values; the rights are held against what our own chart renders.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from retraining.settings import Settings, load_settings
from tests.deploy.linters import ROOT
from tests.helm.helm_chart import CHART, Object, find_helm, run_helm
from tests.helm.kubernetes_schemas import problems

VALUES: dict[str, Any] = yaml.safe_load((ROOT / "airflow" / "values.yaml").read_text())
RIGHTS: list[Object] = list(yaml.safe_load_all((ROOT / "airflow" / "roll-out.yaml").read_text()))
TEXT = (ROOT / "airflow" / "values.yaml").read_text()
# What runs of the chart with these values, by its keys.
COMPONENTS = (
    "scheduler",
    "apiServer",
    "dagProcessor",
    "triggerer",
    "migrateDatabaseJob",
    "databaseCleanup",
    "statsd",
)
CHANGES = {"get", "list", "watch", "create", "update", "patch", "delete"}


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives name and settings of whatever becomes a container."""
    for name in COMPONENTS:
        yield name, VALUES[name]
    yield "git-sync", VALUES["dags"]["gitSync"]
    for each in VALUES["scheduler"]["extraInitContainers"]:
        yield each["name"], {**each, "securityContexts": {"container": each["securityContext"]}}


CONTAINERS = [pytest.param(each, id=name) for name, each in containers()]


@pytest.mark.parametrize("container", CONTAINERS)
def test_each_container_has_bounds_and_no_rights(container: dict[str, Any]) -> None:
    resources, context = container["resources"], container["securityContexts"]["container"]

    assert {"cpu", "memory"} <= set(resources["requests"]) and "memory" in resources["limits"]
    assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", COMPONENTS)
def test_no_pod_runs_as_root(name: str) -> None:
    pod = VALUES[name]["securityContexts"]["pod"]

    assert pod["runAsNonRoot"] is True and pod["runAsUser"] == (65534 if name == "statsd" else VALUES["uid"])
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}


def test_user_is_that_of_our_image() -> None:
    dockerfile = (ROOT / "airflow" / "Dockerfile").read_text()

    assert f"USER {VALUES['uid']}:{VALUES['gid']}\n" in dockerfile
    assert VALUES["securityContexts"]["pod"]["fsGroup"] == VALUES["gid"]


def test_versions_are_those_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    locked = re.search(r"^apache-airflow==(\S+)", (ROOT / "airflow" / "requirements.lock").read_text(), re.MULTILINE)

    assert locked and VALUES["airflowVersion"] == locked[1]
    assert VALUES["images"]["airflow"]["tag"] == version
    assert VALUES["dags"]["gitSync"]["ref"] == f"v{version}"
    images = [each["value"] for each in VALUES["env"] if each["name"].endswith("IMAGE")]
    assert images and all(image.endswith(f":{version}") for image in images)


def test_what_only_the_official_image_has_is_not_called() -> None:
    for name in ("scheduler", "dagProcessor", "triggerer"):
        assert VALUES[name]["logGroomerSidecar"] == {"enabled": False}, "it runs /clean-logs"


def test_no_secret_stands_in_it() -> None:
    assert not re.search(r"(?m)^[^#\n]*\b(password|pass|token|apiSecretKey|jwtSecret|fernetKey): *[^ \n]", TEXT)
    for name in ("metadataSecretName", "fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName"):
        secret = VALUES["data"][name] if name == "metadataSecretName" else VALUES[name]
        assert f"Secret {secret} " in TEXT, "the head says what to make"
    for each in VALUES["secret"]:
        assert f"Secret {each['secretName']} " in TEXT


def test_the_page_adds_the_driver_of_the_database_to_our_image() -> None:
    scheme = re.search(r"connection: postgresql\+(\w+)://", TEXT)
    readme = (ROOT / "airflow" / "kubernetes.md").read_text()
    (lines,) = re.findall(r"```dockerfile\n(.*?)```", readme, re.DOTALL)
    built = (ROOT / "airflow" / "Dockerfile").read_text()
    base = re.search(r"(?m)^ARG BASE=(\S+python:(3\.\d+)-.*)$", built)

    assert scheme and base and re.search(rf" {scheme[1]}(-binary)?==[\d.]+$", lines, re.MULTILINE)
    assert f"FROM {base[1]} AS driver\n" in lines, "built for the Python that it is to run on"
    environment = lines.split()[-1].removesuffix(f"/lib/python{base[2]}/site-packages")
    assert f"COPY --from=build {environment} {environment}\n" in built
    assert f"FROM traffic-signs/airflow:{VALUES['images']['airflow']['tag']}\n" in lines


def test_dags_are_where_git_sync_looks() -> None:
    assert (ROOT / VALUES["dags"]["gitSync"]["subPath"]).is_dir()


def test_settings_are_ones_that_the_dags_know() -> None:
    environment = {each["name"]: each["value"] for each in VALUES["env"]}
    known = {f"SIGNS_{name.upper()}" for name in vars(Settings())}

    assert {name for name in environment if name.startswith("SIGNS_")} <= known
    assert {each["envName"] for each in VALUES["secret"]} <= known
    settings = load_settings(environment)
    assert (settings.run_on, settings.roll_out) == ("kubernetes", "helm")
    assert settings.triton in (ROOT / "training" / "Dockerfile").read_text()


def test_helm_is_where_the_dags_call_it() -> None:
    environment = {each["name"]: each["value"] for each in VALUES["env"]}
    (brings,) = VALUES["scheduler"]["extraInitContainers"]
    (mount,) = VALUES["scheduler"]["extraVolumeMounts"]

    assert environment["SIGNS_HELM"] == brings["command"][-1]
    assert environment["SIGNS_HELM"].startswith(f"{mount['mountPath']}/")
    assert {mount["name"]} == {each["name"] for each in VALUES["scheduler"]["extraVolumes"]}


def test_rights_are_of_one_namespace_and_for_the_scheduler() -> None:
    role, binding = RIGHTS

    assert [each["kind"] for each in RIGHTS] == ["Role", "RoleBinding"]
    environment = {each["name"]: each["value"] for each in VALUES["env"]}
    assert {each["metadata"]["namespace"] for each in RIGHTS} == {environment["SIGNS_NAMESPACE"]}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = VALUES["scheduler"]["serviceAccount"]["name"]
    assert [(each["kind"], each["name"]) for each in binding["subjects"]] == [("ServiceAccount", account)]
    rules = str(role["rules"])
    assert "*" not in rules and not {"escalate", "bind", "impersonate"} & set(re.findall(r"\w+", rules))
    for resource in ("pods/exec", "roles", "rolebindings", "nodes"):
        assert f"'{resource}'" not in rules


@pytest.mark.parametrize("kube", ["1.29", "1.35"])
def test_rights_are_valid(kube: str) -> None:
    assert [problem for each in RIGHTS for problem in problems(each, kube)] == []


def test_rights_suffice_for_whatever_the_chart_renders() -> None:
    """With every template on; Helm's own records are Secrets."""
    helm = find_helm("helm")
    allowed = {
        (group, resource): set(rule["verbs"])
        for rule in RIGHTS[0]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    # The kinds stand in the templates, whatever values would make them.
    kinds = set()
    for path in (CHART / "templates").rglob("*.yaml"):
        kinds |= set(re.findall(r"^kind: (\w+)", path.read_text(), re.MULTILINE))
    kinds -= {"Pod"}  # tests of the release, which Airflow does not run
    assert {"Deployment", "ConfigMap", "Ingress"} <= kinds
    resources = {resource for (_, resource), verbs in allowed.items() if verbs >= CHANGES}
    missing = {kind for kind in kinds if _plural(kind) not in resources}
    assert not missing, f"roll-out.yaml lacks {missing}"
    assert "secrets" in resources

    # And no more than those; an upgrade of the examples needs what is granted, group by group.
    assert resources <= {_plural(kind) for kind in kinds} | {"secrets"}
    for example in sorted(set((CHART / "examples").glob("*.yaml")) - {CHART / "examples" / "prometheus-adapter.yaml"}):
        done = run_helm(helm, "template", "signs", str(CHART), "--namespace", "signs", "--values", str(example))
        assert done.returncode == 0, done.stderr
        for each in yaml.safe_load_all(done.stdout):
            if each and each["kind"] != "Pod":
                group = each["apiVersion"].rpartition("/")[0]
                assert allowed.get((group, _plural(each["kind"]))) == CHANGES, f"{example.name}: {group} {each['kind']}"


def _plural(kind: str) -> str:
    """Returns the name of a kind as rights have it."""
    name = kind.lower()
    return re.sub(r"(?<![aeiou])y$", "ie", name) + ("es" if name.endswith("s") else "s")
