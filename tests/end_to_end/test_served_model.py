"""`TritonPredictor` with a real tritonserver: the answers of the files, over both protocols."""

import gc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from export.evaluation.model_ref import ModelRef
from export.kinds import CLASSIFIER
from export.predictor import OnnxPredictor, TritonPredictor
from serving.server import RunningServer
from tests.end_to_end.street import PROTOCOLS, address, street
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, UnknownModelError
from traffic_signs.classes import CLASS_NAMES

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_images_than_a_batch_holds_are_answered_as_by_the_file(
    recognizer_server: RunningServer,
    recognizer_repository: Path,
    random_crops: npt.NDArray[np.uint8],
    protocol: Protocol,
) -> None:
    crops = random_crops[np.arange(150) % len(random_crops)]
    with TritonPredictor(address(recognizer_server, protocol), protocol, "sign_classifier") as served:
        probabilities = served(crops)["probabilities"]
        assert (served.kind, served.size, served.max_batch) == (CLASSIFIER, (48, 48), 64)
        assert served.class_names() == list(CLASS_NAMES), "by the labels of Triton's answers"

    alone = OnnxPredictor(recognizer_repository / "sign_classifier" / "1" / "model.onnx")
    assert probabilities == pytest.approx(alone(crops)["probabilities"], abs=1e-5)
    assert alone.class_names() == list(CLASS_NAMES), "by the metadata of the file"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_served_detector_answers_as_its_file(
    recognizer_server: RunningServer, recognizer_repository: Path, protocol: Protocol
) -> None:
    reference = ModelRef(None, address(recognizer_server, protocol), protocol, "sign_detector", "1")
    assert reference.kind() == "sign_detector"
    scene = np.asarray(street([(2, 2), (9, 5)]).resize((680, 400)))[None]
    expected = OnnxPredictor(recognizer_repository / "sign_detector" / "1" / "model.onnx")(scene)

    with reference.open() as network:
        assert (network.size, network.backend) == ((400, 680), f"triton_{protocol}")
        assert network.class_names() is None, "a detector has no labels"
        found = network(scene)

    assert found.keys() == {"boxes", "scores", "categories"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_forgotten_closes_its_connection(recognizer_server: RunningServer, protocol: Protocol) -> None:
    """What were left open would warn when it is collected, and warnings are errors here."""
    served = TritonPredictor(address(recognizer_server, protocol), protocol, "sign_detector")
    end = served._end
    del served
    gc.collect()
    assert not end.alive


def test_what_is_not_there_is_named(recognizer_server: RunningServer) -> None:
    with pytest.raises(UnknownModelError):
        TritonPredictor(recognizer_server.grpc_url, "grpc", "sign_detector/9")
    with pytest.raises(ClientError, match="signs serve"):
        TritonPredictor("127.0.0.1:9", "grpc", "sign_detector")
