"""Runs the real Helm on the chart, and reads what it renders."""

import os
import shutil
import subprocess
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "helm" / "traffic-signs"
# Name of the program, and the variable that may give another path to it.
HELMS = {"helm": "HELM", "helm3": "HELM3"}
OLDEST = "1.29.0"
NEWEST = "1.35.0"
Object = dict[str, Any]


class UniqueKeys(yaml.CSafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Refuses a name that stands twice in an object: the reader takes the last in silence, and so do some servers."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Returns the mapping.

        Raises:
            ValueError: a key is there twice.
        """
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(made) < len(node.value):
            raise ValueError(f"a key is there twice: {[key.value for key, _ in node.value]}")
        return made


def find_helm(name: str) -> str:
    """Returns the path of Helm 4 (`helm`) or Helm 3 (`helm3`); skips where this machine has none."""
    path = shutil.which(os.environ.get(HELMS[name], name))
    if path is None:
        pytest.skip("no Helm: make tools, or name one in HELM and HELM3")
    return path


def run_helm(helm: str, *arguments: str, values: Mapping[str, Any] | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs Helm, with values on its standard input where some are given; the caller looks at its exit code."""
    command = [helm, *arguments, *(["--values", "-"] if values is not None else [])]
    text = None if values is None else yaml.safe_dump(dict(values))
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)


def render(
    helm: str, values: Mapping[str, Any], kube: str = OLDEST, chart: Path = CHART, release: str = "demo"
) -> list[Object]:
    """Returns the objects of a release in the namespace `signs`, tests of the release among them."""
    arguments = ("template", release, str(chart), "--namespace", "signs", "--kube-version", kube)
    done = run_helm(helm, *arguments, values=values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, UniqueKeys) if each]


def named(objects: Iterable[Object], kind: str, ending: str = "") -> Object:
    """Returns the one object of a kind whose name ends so."""
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(ending)]
    return found


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    """Returns the objects of these kinds."""
    return [each for each in objects if each["kind"] in kinds]


def pods(objects: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    """Gives kind and name of whatever makes pods, and what it makes: metadata and spec."""
    for each in objects:
        name = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Pod":
            yield name, each
        elif each["kind"] == "Deployment":
            yield name, each["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    """Returns all containers of a pod, those that come first among them."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def container(pod: Object, name: str) -> Object:
    """Returns the container of that name."""
    (found,) = [each for each in containers(pod) if each["name"] == name]
    return found


def labels_match(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Returns whether a label selector of Kubernetes chooses what has these labels."""
    for each in selector.get("matchExpressions", []):
        if each["operator"] != "In":
            raise ValueError(f"the chart uses In alone, this is {each['operator']}")
        if labels.get(each["key"]) not in each["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values with others over them, as Helm merges them."""
    result = dict(values)
    for key, value in more.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def at_path(path: str, value: object) -> dict[str, Any]:
    """Returns values in which one is set: `at_path("a.b", 1)` is {"a": {"b": 1}}."""
    first, _, rest = path.partition(".")
    return {first: at_path(rest, value) if rest else value}


def without(objects: Sequence[Object], *kinds: str) -> list[Object]:
    """Returns the objects that are of other kinds."""
    return [each for each in objects if each["kind"] not in kinds]
