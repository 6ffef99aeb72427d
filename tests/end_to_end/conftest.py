"""A real tritonserver with the recognizer, on a classifier of random weights and a detector of red cells."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.recognizer import export_recognizer
from serving.server import RunningServer
from tests.drawn_traffic import drawn_traffic
from tests.fixture_types import Once, Serve
from tests.red_detector import publish_red_detector
from tests.running_s3 import running_s3
from tests.slow_recognizer import write_slow_recognizer


@pytest.fixture(scope="session")
def recognizer_repository(once: Once, repository: Path) -> Path:
    """A repository with the three models; the recognizer has a reference of drawn traffic."""

    def publish(folder: Path) -> None:
        shutil.copytree(repository / "sign_classifier", folder / "sign_classifier")
        publish_red_detector(folder)
        export_recognizer(folder, scenes=drawn_traffic())

    return once("recognizer_repository", publish)


@pytest.fixture(scope="session")
def recognizer_server(serve: Serve, recognizer_repository: Path) -> RunningServer:
    """A real tritonserver that serves them."""
    return serve(recognizer_repository)


@pytest.fixture(scope="session")
def slow_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recognizers that take their time: one looks at four photographs at once, one has room for few requests."""
    folder = tmp_path_factory.mktemp("slow_repository")
    write_slow_recognizer(folder, "sign_recognizer", instances=4)
    write_slow_recognizer(folder, "busy_recognizer", instances=1, waiting=4)
    return folder


@pytest.fixture(scope="session")
def slow_server(serve: Serve, slow_repository: Path) -> RunningServer:
    """A real tritonserver that serves them."""
    return serve(slow_repository)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty repository on a real S3 server of this machine."""
    name = f"signs-{uuid.uuid4()}"
    with running_s3(name) as variables:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        yield f"s3://{name}/models"
