"""Tests of what .ci/kind installs: the chart must ask for nothing but what that script brings into the cluster."""

import re
import tomllib

import yaml

from tests.deploy.linters import ROOT
from tests.helm.helm_chart import CHART, Object, find_helm, named, of_kind, run_helm

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def objects() -> list[Object]:
    """Returns what Helm renders with the values of .ci/kind."""
    files = (CHART / "examples" / "cpu.yaml", ROOT / ".ci" / "kind-values.yaml")
    values = [part for file in files for part in ("--values", str(file))]
    done = run_helm(find_helm("helm"), "template", "signs", str(CHART), "--namespace", "signs", *values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def test_images_are_those_that_are_loaded() -> None:
    rendered = yaml.safe_dump_all(objects())
    loaded = re.search(r"^images=.*", (ROOT / ".ci" / "kind").read_text(), re.MULTILINE)

    assert loaded
    images = set(re.findall(r"image: (\S+)", rendered))
    assert images == {name.replace("$version", VERSION) for name in re.findall(r'"(traffic-signs/\S+)"', loaded[0])}
    assert set(re.findall(r"imagePullPolicy: (\S+)", rendered)) == {"Never"}


def test_what_the_script_names_is_there() -> None:
    rendered = objects()
    script = (ROOT / ".ci" / "kind").read_text()

    for host, port in set(re.findall(r"\b(signs-[\w-]+):(8000|8001|80)\b", script)):
        (service,) = [each for each in of_kind(rendered, "Service") if each["metadata"]["name"] == host]
        assert int(port) in [each["port"] for each in service["spec"]["ports"]]
    (claim,) = set(re.findall(r"claimName: ([\w-]+)", script))
    assert f"claimName: {claim}" in yaml.safe_dump_all(of_kind(rendered, "Deployment"))
    assert "app.kubernetes.io/component: triton" in yaml.safe_dump(named(rendered, "Deployment", "triton"))


def test_chart_deploys_the_images_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == VERSION
