"""Checks objects against the schemas of Kubernetes and of the operators whose objects the chart makes.

Those of Kubernetes are its own, as the package kubernetes-validate carries them, in their strict form: a field that is
not there is an error. No package carries those of the operators (Prometheus, KEDA, Gateway API, Argo
Rollouts, Flagger) as JSON schemas, so
`crd_schemas.json` holds ones of our own, written from their documentation: strict, and only of the fields that the
chart uses, so that another field is an error until it is written there too.
"""

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.helm.helm_chart import Object


def problems(each: Object, kube: str) -> list[str]:
    """Returns what is wrong with an object for a version of Kubernetes, as 1.29."""
    schema = _crd_schemas().get(f"{each['apiVersion']} {each['kind']}")
    if schema is not None:
        # Its metadata are those of every object.
        bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": each["metadata"]}
        return _messages(schema, each) + problems(bare, kube)
    return _messages(_validator(kube, each["apiVersion"], each["kind"]), each)


def _messages(validator: Draft202012Validator, each: Object) -> list[str]:
    name = f"{each['kind']} {each['metadata']['name']}"
    return [f"{name}: {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(each)]


@cache
def _crd_schemas() -> dict[str, Draft202012Validator]:
    content = json.loads((Path(__file__).parent / "crd_schemas.json").read_text())
    shared = content.pop("$defs")
    return {name: Draft202012Validator({**schema, "$defs": shared}) for name, schema in content.items()}


@cache
def _validator(kube: str, api_version: str, kind: str) -> Draft202012Validator:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    return Draft202012Validator(_read(kube, f"{kind.lower()}-{group}.json"), registry=_definitions(kube))


@cache
def _definitions(kube: str) -> Registry:
    content = _read(kube, "_definitions.json")
    resource = Resource.from_contents(content, default_specification=DRAFT202012)
    return Registry().with_resource(content["$id"], resource).crawl()


def _read(kube: str, name: str) -> Any:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{kube}.0-local-strict"
    return json.loads((folder / name).read_text())
