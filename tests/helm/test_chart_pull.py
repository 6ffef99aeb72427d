"""The init container's command, as it is rendered, run for real: from a volume and a bucket of a real S3 server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export.repository import publish_copy
from export.repository.policy import read_config
from tests.helm.helm_chart import Object, container, find_helm, merged, named, render
from tests.helm.pod_process import command_of, process_environment
from tests.helm.value_cases import LEAST
from tests.running_s3 import running_s3

Values = dict[str, Any]


def pull(values: Values, source: Path, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs the init container of the last Deployment of Triton that values make, with /models in `folder`."""
    objects = render(find_helm("helm"), merged(LEAST, values))
    deployment = named(objects, "Deployment", "-canary" if "canary" in values else "-triton")
    each = container(deployment["spec"]["template"], "pull-models")
    places = {"/source": source, "/models": folder / "models", "/keys/release.pub": write_key(objects, folder)}
    (folder / "models").mkdir()  # a volume is there
    environment = {**process_environment(each, folder), **variables}
    return subprocess.run(command_of(each, places), env=environment, capture_output=True, text=True, timeout=200)


def write_key(objects: list[Object], folder: Path) -> Path:
    """Puts the public key out of its ConfigMap, if there is one, where the volume would have it."""
    for each in objects:
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].endswith("-public-key"):
            (folder / "release.pub").write_text(each["data"]["release.pub"])
    return folder / "release.pub"


def pulled(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder / "models")) for path in (folder / "models").glob("*/*/manifest.json"))


def test_brings_exactly_the_pinned_versions(source: Path, tmp_path: Path) -> None:
    done = pull({"models": {"versions": {"sign_classifier": [1, 2], "sign_detector": 1}}}, source, tmp_path)
    assert done.returncode == 0, done.stderr
    assert pulled(tmp_path) == [
        f"{each}/manifest.json" for each in ("sign_classifier/1", "sign_classifier/2", "sign_detector/1")
    ]
    config = read_config((tmp_path / "models" / "sign_classifier" / "config.pbtxt").read_bytes(), "config")
    assert list(config.version_policy.specific.versions) == [1, 2]


def test_takes_what_the_key_has_signed(source: Path, keys: Path, tmp_path: Path) -> None:
    versions = {"sign_classifier": 1, "sign_detector": 1, "sign_recognizer": 1}
    done = pull({"models": {"versions": versions, "publicKey": (keys / "release.pub").read_text()}}, source, tmp_path)
    assert done.returncode == 0, done.stderr
    assert pulled(tmp_path) == [f"{model}/1/manifest.json" for model in versions]


def test_refuses_what_nobody_has_signed(source: Path, keys: Path, tmp_path: Path) -> None:
    """The pod stays in its init container, and the old ones keep serving."""
    values = {"models": {"versions": {"sign_classifier": 2}, "publicKey": (keys / "release.pub").read_text()}}
    done = pull(values, source, tmp_path)
    assert done.returncode == 1
    assert "sign_classifier/2" in done.stderr and "sign" in done.stderr
    assert pulled(tmp_path) == []


def test_refuses_an_altered_file(source: Path, tmp_path: Path) -> None:
    publish_copy(source / "sign_classifier" / "1", tmp_path / "altered")
    model = tmp_path / "altered" / "sign_classifier" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    done = pull({}, tmp_path / "altered", tmp_path)
    assert done.returncode == 1
    assert "model.onnx" in done.stderr
    assert pulled(tmp_path) == []


def test_a_challenger_that_is_not_there_does_not_start(source: Path, tmp_path: Path) -> None:
    done = pull({"canary": {"state": "running", "versions": {"sign_classifier": 7}}}, source, tmp_path)
    assert done.returncode == 1
    assert "7" in done.stderr
    assert pulled(tmp_path) == []


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """What the Secret of models.source.bucket.envSecret has: variables that lead to the bucket s3://models."""
    with running_s3("models") as variables:
        yield variables


def test_brings_them_from_a_bucket(
    source: Path, s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    publish_copy(source / "sign_classifier" / "1", "s3://models/signs")
    for name in s3:
        monkeypatch.delenv(name)
    values = {"models": {"source": {"type": "bucket", "bucket": {"url": "s3://models/signs", "envSecret": "bucket"}}}}
    done = pull(values, source, tmp_path, **s3)
    assert done.returncode == 0, done.stderr
    assert pulled(tmp_path) == ["sign_classifier/1/manifest.json"]
    manifest = json.loads((tmp_path / "models" / "sign_classifier" / "1" / "manifest.json").read_text())
    assert (manifest["model"], manifest["version"]) == ("sign_classifier", 1)
