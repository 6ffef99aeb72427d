"""What the recognizer does on servers that are not as they should be: a model gone, versions pinned, no metrics."""

import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from export.config import to_text
from export.recognizer import export_recognizer
from export.repository.policy import read_config
from serving.errors import ServingError
from serving.install import Installation
from serving.server import running_server
from tests.end_to_end.street import PROTOCOLS, boxes_of, connect, encode, scrape, street
from tests.red_detector import publish_red_detector
from traffic_sign_client.errors import ClientError, RefusedError

pytestmark = pytest.mark.end_to_end

CELLS = [(2, 2), (9, 5)]


@pytest.fixture
def models(recognizer_repository: Path, tmp_path: Path) -> Path:
    """A copy of the three models that the test may change."""
    shutil.copytree(recognizer_repository, tmp_path / "models")
    return tmp_path / "models"


def set_parameter(models: Path, name: str, value: str) -> None:
    path = models / "sign_recognizer" / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    config.parameters[name].string_value = value
    path.write_text(to_text(config))


@pytest.mark.parametrize("gone", ["sign_detector", pytest.param("sign_classifier", marks=pytest.mark.long)])
def test_without_one_of_its_models_it_says_which(gone: str, installation: Installation, models: Path) -> None:
    shutil.rmtree(models / gone)
    with running_server(installation, models, models.parent / "log") as server:
        for protocol in PROTOCOLS:
            with connect(server, protocol) as client:
                with pytest.raises(ClientError, match=rf"{gone} gave no answer .*signs export recognizer"):
                    client.recognize(encode(street(CELLS)))
                with pytest.raises(RefusedError, match="cannot be read"):
                    client.recognize(b"no picture")
        failures = scrape(server)
    assert failures[f'sign_recognizer_failures_total{{reason="{gone}",version="1"}}'] == 2


def test_a_detector_of_another_size_than_it_was_published_for_is_an_error_not_a_wrong_answer(
    installation: Installation, models: Path
) -> None:
    publish_red_detector(models, height=360, width=680)
    refused = pytest.raises(ClientError, match=r"sign_detector gave no answer .*signs export recognizer")
    with running_server(installation, models, models.parent / "log") as server, connect(server) as client, refused:
        client.recognize(encode(street(CELLS)))


def test_the_version_of_a_model_can_be_pinned(installation: Installation, models: Path) -> None:
    """Both versions of the detector are served; the recognizer asks the first alone."""
    publish_red_detector(models)
    set_parameter(models, "detector_version", "1")
    path = models / "sign_detector" / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    config.version_policy.all.SetInParent()
    path.write_text(to_text(config))
    with running_server(installation, models, models.parent / "log") as server, connect(server) as client:
        assert {sign.box for sign in client.recognize(encode(street(CELLS)))} == boxes_of(CELLS)
        asked = scrape(server)
    assert asked['nv_inference_request_success{model="sign_detector",version="1"}'] == 1
    assert asked['nv_inference_request_success{model="sign_detector",version="2"}'] == 0


def test_two_versions_beside_each_other_keep_their_own_modules(installation: Installation, models: Path) -> None:
    """Version 1 is changed so that it finds no sign; version 2 must not see that change, nor the other way round."""
    export_recognizer(models)
    module = models / "sign_recognizer" / "1" / "recognition.py"
    module.write_text(module.read_text().replace("SMALLEST_SIDE = 1.0", "SMALLEST_SIDE = 1e9"))
    path = models / "sign_recognizer" / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    config.version_policy.all.SetInParent()
    path.write_text(to_text(config))
    data = encode(street(CELLS))
    with running_server(installation, models, models.parent / "log") as server:
        with connect(server, version="1") as one, connect(server, version="2") as two:
            assert one.recognize(data) == []
            assert {sign.box for sign in two.recognize(data)} == boxes_of(CELLS)
        asked = scrape(server)
    assert asked['sign_recognizer_empty_scenes_total{version="1"}'] == 1
    assert asked['sign_recognizer_empty_scenes_total{version="2"}'] == 0


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("score_threshold", "high", "give a number from 0 to 1"),
        pytest.param("classifier_version", "newest", "give a number or 'latest'", marks=pytest.mark.long),
    ],
)
def test_a_parameter_that_makes_no_sense_is_reported_at_the_start(
    parameter: str, value: str, reason: str, installation: Installation, models: Path
) -> None:
    set_parameter(models, parameter, value)
    with pytest.raises(ServingError, match=reason), running_server(installation, models, models.parent / "log"):
        pass


def test_settings_that_are_gone_are_reported_at_the_start(installation: Installation, models: Path) -> None:
    (models / "sign_recognizer" / "1" / "settings.json").unlink()
    with (
        pytest.raises(ServingError, match=r"settings\.json"),
        running_server(installation, models, models.parent / "log"),
    ):
        pass


def test_a_server_without_metrics_answers_all_the_same(installation: Installation, models: Path) -> None:
    log = models.parent / "log"
    with running_server(installation, models, log, extra_arguments=("--allow-metrics=false",)) as server:
        with connect(server) as client:
            assert {sign.box for sign in client.recognize(encode(street(CELLS)))} == boxes_of(CELLS)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(server.metrics_url)
