"""A real tritonserver with the recognizer, on a classifier of random weights and a detector of red cells."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.recognizer import export_recognizer
from export.repository import Manifest
from serving.install import Installation
from serving.server import RunningServer, running_server
from tests.drawn_traffic import drawn_traffic
from tests.red_detector import publish_red_detector
from tests.slow_recognizer import write_slow_recognizer


@pytest.fixture(scope="session")
def recognizer_repository(tmp_path_factory: pytest.TempPathFactory, repository: Path, manifest: Manifest) -> Path:
    """A repository with the three models; the recognizer has a reference of drawn traffic."""
    folder = tmp_path_factory.mktemp("recognizer_repository")
    shutil.copytree(repository / "sign_classifier", folder / "sign_classifier")
    publish_red_detector(folder)
    export_recognizer(folder, scenes=drawn_traffic())
    return folder


@pytest.fixture(scope="session")
def recognizer_server(
    installation: Installation, recognizer_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A real tritonserver that serves them."""
    log = tmp_path_factory.mktemp("recognizer_server") / "tritonserver.log"
    with running_server(installation, recognizer_repository, log) as running:
        yield running


@pytest.fixture(scope="session")
def slow_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recognizers that take their time: one looks at four photographs at once, one has room for few requests."""
    folder = tmp_path_factory.mktemp("slow_repository")
    write_slow_recognizer(folder, "sign_recognizer", instances=4)
    write_slow_recognizer(folder, "busy_recognizer", instances=1, waiting=4)
    return folder


@pytest.fixture(scope="session")
def slow_server(
    installation: Installation, slow_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A real tritonserver that serves them."""
    log = tmp_path_factory.mktemp("slow_server") / "tritonserver.log"
    with running_server(installation, slow_repository, log) as running:
        yield running
