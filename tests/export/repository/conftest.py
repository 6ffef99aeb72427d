"""Repositories in a folder and in a bucket of a real S3 server on this machine; keys to sign with."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.running_s3 import running_s3

NewRepository = Callable[[], str]


@pytest.fixture(scope="session")
def s3_variables() -> Iterator[dict[str, str]]:
    """Variables that lead to an S3 server."""
    with running_s3() as variables:
        yield variables


@pytest.fixture
def s3_endpoint(s3_variables: dict[str, str]) -> str:
    """Address of the S3 server."""
    return s3_variables["AWS_ENDPOINT_URL"]


@pytest.fixture
def s3(s3_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the S3 server; the environment points every other client to it too."""
    for name, value in s3_variables.items():
        monkeypatch.setenv(name, value)
    return boto3.client("s3")


@pytest.fixture
def new_bucket(s3: Any) -> NewRepository:
    """Makes addresses of empty repositories, each in a bucket of its own."""

    def make() -> str:
        name = f"signs-{uuid.uuid4().hex}"
        s3.create_bucket(Bucket=name)
        return f"s3://{name}/models"

    return make


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty repository, once in a folder and once in a bucket."""
    if request.param == "folder":
        return str(tmp_path / "place")
    make: NewRepository = request.getfixturevalue("new_bucket")
    return make()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with two pairs of keys: release.pem and release.pub, other.pem and other.pub."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("release", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    return folder
