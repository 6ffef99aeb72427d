"""The chart, rendered once with all sets of values, and models for its pods."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from export.recognizer import export_recognizer
from export.repository import publish_copy
from export.repository.publishing import sign_version
from export.repository.signing import Signer
from tests.helm.helm_chart import Object, find_helm, render
from tests.helm.value_cases import CASES, kube_of
from tests.red_detector import publish_red_detector

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Object]]:
    """Objects by the name of the case; nobody may change them."""
    helm = find_helm("helm")
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(CASES, pool.map(lambda case: render(helm, CASES[case], kube_of(case)), CASES), strict=True))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a pair of keys: release.pem and release.pub."""
    folder = tmp_path_factory.mktemp("keys")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "release.pem").write_bytes(private)
    (folder / "release.pub").write_bytes(public)
    return folder


@pytest.fixture(scope="session")
def source(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the three models: the bundled classifier, a detector of red cells, the recognizer.

    All are signed; version 2 of the classifier, a copy of the first, is not.
    """
    folder = tmp_path_factory.mktemp("source")
    shipped = ROOT / "model_repository" / "sign_classifier" / "1"
    publish_copy(shipped, folder)
    publish_copy(shipped, folder, again=True)
    publish_red_detector(folder)
    export_recognizer(folder)
    for model in ("sign_classifier", "sign_detector", "sign_recognizer"):
        sign_version(folder, model, 1, Signer(keys / "release.pem"))
    return folder
