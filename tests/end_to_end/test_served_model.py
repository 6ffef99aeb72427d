"""`export.evaluation.served_model` with a real tritonserver: the answers of the files, over both protocols."""

import gc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from export.detection_parity import onnxruntime_detector
from export.evaluation.model_ref import ModelRef
from export.evaluation.served_model import ServedModel
from export.parity import onnxruntime_predictor
from export.tensors import OUTPUT_NAME
from serving.server import RunningServer
from tests.end_to_end.street import PROTOCOLS, address, street
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, UnknownModelError

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_images_than_a_batch_holds_are_answered_as_by_the_file(
    recognizer_server: RunningServer,
    recognizer_repository: Path,
    random_crops: npt.NDArray[np.uint8],
    protocol: Protocol,
) -> None:
    crops = random_crops[np.arange(150) % len(random_crops)]
    with ServedModel(address(recognizer_server, protocol), protocol, "sign_classifier") as served:
        (probabilities,) = served.ask(crops, [OUTPUT_NAME])
        assert (served.inputs, served.size) == (["images"], (48, 48))

    alone = onnxruntime_predictor(recognizer_repository / "sign_classifier" / "1" / "model.onnx")
    assert probabilities == pytest.approx(alone(crops), abs=1e-5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_served_detector_is_judged_by_what_its_file_answers(
    recognizer_server: RunningServer, recognizer_repository: Path, protocol: Protocol
) -> None:
    judged = ModelRef(None, address(recognizer_server, protocol), protocol, "sign_detector", "1")
    assert judged.kind() == "sign_detector"
    opened = judged.open_detector()
    scene = np.asarray(street([(2, 2), (9, 5)]).resize(opened.size[::-1]))[None]

    expected = onnxruntime_detector(recognizer_repository / "sign_detector" / "1" / "model.onnx")(scene).arrays()

    assert opened.size == (400, 680)
    for found, wanted in zip(opened.run(scene), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_forgotten_closes_its_connection(recognizer_server: RunningServer, protocol: Protocol) -> None:
    """What were left open would warn when it is collected, and warnings are errors here."""
    served = ServedModel(address(recognizer_server, protocol), protocol, "sign_detector")
    end = served._end
    del served
    gc.collect()
    assert not end.alive


def test_what_is_not_there_is_told(recognizer_server: RunningServer) -> None:
    with pytest.raises(UnknownModelError):
        ServedModel(recognizer_server.grpc_url, "grpc", "sign_detector/9")
    with pytest.raises(ClientError, match="signs serve"):
        ServedModel("127.0.0.1:9", "grpc", "sign_detector")
