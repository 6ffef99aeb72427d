"""Models and the server itself in folders whose names Triton, a shell or an ASCII interpreter stumbles over."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from export.repository import Manifest
from serving.errors import ServingError
from serving.install import Installation, find_or_install
from serving.paths import SafePaths
from serving.server import KEEP_GOING, running_server, unavailable_models
from tests.odd_places import ODD_NAME, odd_home
from traffic_sign_client import SignClient

pytestmark = pytest.mark.end_to_end


def test_models_and_server_are_served_from_any_folder(
    installation: Installation,
    repository: Path,
    manifest: Manifest,
    random_crops: npt.NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = tmp_path / ODD_NAME / "models"
    shutil.copytree(repository, models)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    home = odd_home(installation, tmp_path)
    installation = find_or_install(home, print)
    assert installation.home == home
    with (
        running_server(installation, models, tmp_path / ODD_NAME / "log") as server,
        SignClient(server.grpc_url) as client,
    ):
        assert client.probabilities(random_crops).shape == (80, 43)
        assert list(scratch.iterdir())
    assert not list(scratch.iterdir()), "the links go with the server"


def test_a_reason_names_the_path_that_people_know(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    models = tmp_path / ODD_NAME / "models"
    shutil.copytree(repository, models)
    (models / "sign_classifier" / "1" / "model.onnx").unlink()
    with running_server(installation, models, tmp_path / "log", extra_arguments=KEEP_GOING) as server:
        assert str(models) in unavailable_models(server)["sign_classifier"]
    with (
        pytest.raises(ServingError, match="failed to load 'sign_classifier'") as refused,
        running_server(installation, models, tmp_path / "log"),
    ):
        pass
    assert str(models) in str(refused.value)


def test_a_model_whose_own_name_cannot_be_used_is_refused_at_once(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "models" / "my model").mkdir(parents=True)
    (tmp_path / "models" / "my model" / "config.pbtxt").write_text('name: "my model"')
    with (
        pytest.raises(ServingError, match=r"my model: .* rename"),
        running_server(installation, tmp_path / "models", tmp_path / "log"),
    ):
        pass
    assert not (tmp_path / "log").exists()


def test_a_temporary_folder_with_such_a_name_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ODD_NAME).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ODD_NAME))
    with ExitStack() as stack:
        paths = SafePaths(stack)
        link = paths.safe(tmp_path / ODD_NAME)
        assert link.resolve() == tmp_path / ODD_NAME and link == paths.safe(tmp_path / ODD_NAME)
        assert paths.original(f"no {link}/1") == f"no {tmp_path / ODD_NAME}/1"
        assert paths.safe(tmp_path) == tmp_path
    assert not link.parent.exists()
