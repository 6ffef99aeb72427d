"""Configurations by name on a real tritonserver: which one it takes, and that it serves the file for GPUs rightly.

There is no GPU where the tests run, so the configuration for GPUs is put on the CPU (KIND_CPU) to be served; the file,
its weights out of the other file and all else are as they are.
"""

import io
import json
import shutil
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.grpc import model_config_pb2 as pb

from export.kinds import DETECTOR
from export.predictor import OnnxPredictor
from export.recognizer import export_recognizer
from export.repository import Manifest
from export.repository.policy import read_config, to_bytes
from export.run import export_checkpoint
from serving.errors import ServingError
from serving.install import Installation
from serving.server import RunningServer, running_server

pytestmark = pytest.mark.end_to_end

MODEL = "sign_classifier"


def config_of(server: RunningServer) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{server.http_url}/v2/models/{MODEL}/config", timeout=60) as answer:
        config: dict[str, Any] = json.load(answer)
        return config


def ask(server: RunningServer, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    tensor = triton.InferInput("images", images.shape, "UINT8")
    tensor.set_data_from_numpy(images)
    with triton.InferenceServerClient(server.grpc_url) as client:
        found: npt.NDArray[np.float32] = client.infer(MODEL, [tensor], client_timeout=60).as_numpy("probabilities")
        return found


@pytest.fixture
def place(repository: Path, manifest: Manifest, tmp_path: Path) -> Path:
    """A repository with the classifier alone, whose configuration for GPUs runs on the CPU."""
    shutil.copytree(repository / MODEL, tmp_path / "models" / MODEL)
    path = tmp_path / "models" / MODEL / "configs" / "gpu.pbtxt"
    config = read_config(path.read_bytes(), "")
    config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_CPU
    path.write_bytes(to_bytes(config))
    return tmp_path / "models"


EXPLICIT = ("--model-control-mode=explicit", f"--load-model={MODEL}")


@pytest.mark.parametrize("control", [(), pytest.param(EXPLICIT, marks=pytest.mark.long)])
def test_the_file_for_gpus_is_served_under_its_name_and_answers_as_the_other_one(
    installation: Installation,
    place: Path,
    random_crops: npt.NDArray[np.uint8],
    tmp_path: Path,
    control: tuple[str, ...],
) -> None:
    predict = OnnxPredictor(place / MODEL / "1" / "model.onnx")
    with running_server(
        installation, place, tmp_path / "log", extra_arguments=(*control, "--model-config-name=gpu")
    ) as server:
        config = config_of(server)
        for count in (1, 7, 64):
            expected = predict(random_crops[:count])["probabilities"]
            np.testing.assert_allclose(ask(server, random_crops[:count]), expected, atol=1e-5)
    assert config["default_model_filename"] == "model.gpu.onnx"
    assert config["instance_group"][0]["kind"] == "KIND_CPU"


def test_the_recognizer_gets_the_same_answers_from_files_for_gpus(
    installation: Installation, repository: Path, detector_checkpoint: Path, tmp_path: Path
) -> None:
    place = tmp_path / "models"
    shutil.copytree(repository / MODEL, place / MODEL)
    export_checkpoint(detector_checkpoint, place, np.empty((0, 96, 160, 3), np.uint8))
    export_recognizer(place, 0.0)
    for path in place.glob("*/configs/gpu.pbtxt"):
        config = read_config(path.read_bytes(), "")
        config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_CPU
        config.instance_group[0].count = 2  # of the recognizer it would be 8 processes
        path.write_bytes(to_bytes(config))
    photographs = [encode(scene) for scene in DETECTOR.draw_samples((96, 160), 4)]
    answers = []
    for name in ("cpu-2", "gpu"):
        arguments = (f"--model-config-name={name}",)
        with (
            running_server(installation, place, tmp_path / f"{name}.log", extra_arguments=arguments) as server,
            ThreadPoolExecutor(4) as pool,  # several scenes at a time, so that they share calls
        ):
            answers.append(list(pool.map(lambda data, url=server.grpc_url: recognize(url, data), photographs)))
    for (boxes, scores), (other_boxes, other_scores) in zip(*answers, strict=True):
        assert boxes.size
        np.testing.assert_allclose(other_boxes, boxes, atol=0.01)
        # Crops are cut by boxes that differ a little: a pixel that is rounded the other way shows in a class score.
        np.testing.assert_allclose(other_scores, scores, atol=0.01)


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Returns a picture as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def recognize(url: str, photograph: bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns boxes and class scores."""
    tensor = triton.InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[photograph]], dtype=np.object_))
    with triton.InferenceServerClient(url) as client:
        answer = client.infer("sign_recognizer", [tensor], client_timeout=120)
        return answer.as_numpy("boxes"), answer.as_numpy("class_scores")


@pytest.mark.parametrize(
    ("name", "instances"), [pytest.param("cpu-2", 2, marks=pytest.mark.long), ("cpu-4", 4), ("nowhere", 2)]
)
def test_a_name_that_a_model_lacks_stands_for_its_config_pbtxt(
    installation: Installation, place: Path, tmp_path: Path, name: str, instances: int
) -> None:
    with running_server(
        installation, place, tmp_path / "log", extra_arguments=(f"--model-config-name={name}",)
    ) as server:
        config = config_of(server)
    assert config["default_model_filename"] == "model.onnx"
    assert [group["count"] for group in config["instance_group"]] == [instances]


def test_the_configuration_for_gpus_does_not_start_without_one(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    shutil.copytree(repository / MODEL, tmp_path / "models" / MODEL)
    with (
        pytest.raises(ServingError, match=MODEL),
        running_server(
            installation, tmp_path / "models", tmp_path / "log", extra_arguments=("--model-config-name=gpu",)
        ),
    ):
        pass
