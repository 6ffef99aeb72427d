"""A release from its installation to its end, by both Helms, against as much of an API server as they need.

There is no cluster here: api_server.py keeps the objects, and every pod succeeds. What is tested is Helm's part, that
`helm test --logs` prints the logs and ends with 0, that a tested release can be upgraded, and what an uninstall leaves.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.api_server import LOGS, Store, api_server
from tests.helm.helm_chart import CHART, HELMS, find_helm, merged
from tests.helm.value_cases import LEAST


class Cluster:
    """A Helm with the cluster that it talks to."""

    def __init__(self, helm: str, store: Store, folder: Path) -> None:
        """Keeps where things are."""
        self.helm, self.store, self.folder = helm, store, folder

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """Runs Helm, which must succeed; returns what it printed."""
        more: list[str] = []
        if values is not None:
            (self.folder / "values.yaml").write_text(yaml.safe_dump(values))
            more = ["--values", str(self.folder / "values.yaml")]
        home = {f"HELM_{name}_HOME": str(self.folder / name) for name in ("CACHE", "CONFIG", "DATA")}
        command = [self.helm, *arguments, *more, "--kubeconfig", str(self.folder / "kubeconfig"), "-n", "signs"]
        done = subprocess.run(command, env={**os.environ, **home}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-500:]}{done.stderr[-2000:]}"
        return done.stdout

    def names(self) -> set[str]:
        """Returns kind and name of all objects, but for Helm's own records."""
        found = {f"{each['kind']} {each['metadata']['name']}" for each in self.store.objects.values()}
        return {name for name in found if not name.startswith("Secret sh.helm.release")}

    def version(self) -> tuple[int, ...]:
        """Returns Helm's version, as (4, 1)."""
        said = subprocess.run([self.helm, "version", "--short"], capture_output=True, text=True, check=True).stdout
        return tuple(int(part) for part in re.findall(r"\d+", said)[:2])


@pytest.fixture(params=HELMS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    helm = find_helm(request.param)
    with api_server(tmp_path) as (store, _):
        yield Cluster(helm, store, tmp_path)


TESTS = {f"Pod signs-traffic-signs-test-{name}" for name in ("grpc", "http", "version")}


def test_a_release_is_tested_upgraded_tested_and_leaves_nothing(cluster: Cluster) -> None:
    leaves = set() if cluster.version() >= (4, 1) else TESTS  # as the README says
    cluster.run("install", "signs", str(CHART), values=LEAST)
    installed = cluster.names()
    assert "ConfigMap signs-traffic-signs-test-picture" in installed

    said = cluster.run("test", "signs", "--logs")
    assert said.count(LOGS.strip()) == 3 and "Phase:          Succeeded" in said
    assert cluster.names() == installed | leaves

    cluster.run("upgrade", "signs", str(CHART), values=merged(LEAST, {"models": {"versions": {"sign_classifier": 2}}}))
    assert cluster.run("test", "signs", "--logs").count(LOGS.strip()) == 3
    cluster.run("rollback", "signs")
    assert cluster.run("test", "signs", "--logs").count(LOGS.strip()) == 3

    cluster.run("uninstall", "signs")
    assert cluster.names() == leaves


def test_what_an_older_chart_has_left_behind_is_in_nobodys_way(cluster: Cluster) -> None:
    """Its ConfigMap was a hook, which no release owns: under the same name Helm would refuse to take it over."""
    path = "/api/v1/namespaces/signs/configmaps/signs-traffic-signs-test-image"
    metadata = {"name": "signs-traffic-signs-test-image", "namespace": "signs"}
    cluster.store.put(path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    cluster.run("install", "signs", str(CHART), values=LEAST)
    assert cluster.run("test", "signs", "--logs").count(LOGS.strip()) == 3


def test_two_releases_live_in_one_namespace(cluster: Cluster) -> None:
    """Helm refuses an object that another release has."""
    cluster.run("install", "north", str(CHART), values=LEAST)
    cluster.run("install", "south", str(CHART), values=LEAST)
    cluster.run("uninstall", "north")
    assert cluster.names() and all(" south" in name for name in cluster.names())
