"""What a real tritonserver answers, through our client and through the bare tritonclient."""

import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
from PIL import Image
from tritonclient.utils import InferenceServerException

from export.parity import probe_images
from export.precision import FP32, TOLERANCES
from export.predictor import OnnxPredictor, TorchPredictor
from serving.server import RunningServer
from traffic_sign_client import SignClient
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import RefusedError, UnknownModelError
from training.checkpoint import load_checkpoint

pytestmark = pytest.mark.end_to_end

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")
Crops = npt.NDArray[np.uint8]


def connect(server: RunningServer, protocol: Protocol) -> SignClient:
    return SignClient(server.grpc_url if protocol == "grpc" else server.http_url, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_triton_answers_as_pytorch_and_onnx_runtime_do(
    server: RunningServer, checkpoint: Path, repository: Path, random_crops: Crops, protocol: Protocol
) -> None:
    images = probe_images(random_crops)
    with connect(server, protocol) as client:
        served = client.probabilities(images)
    for reference in (
        TorchPredictor(*load_checkpoint(checkpoint)),
        OnnxPredictor(repository / "sign_classifier" / "1" / "model.onnx"),
    ):
        expected = reference(images)["probabilities"]
        assert np.abs(expected - served).max() <= TOLERANCES[FP32].difference
        assert (expected.argmax(axis=1) == served.argmax(axis=1)).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_come_from_the_server_best_first(server: RunningServer, random_crops: Crops, protocol: Protocol) -> None:
    with connect(server, protocol) as client:
        probabilities = client.probabilities(random_crops)
        answers = client.classify(random_crops, top=3)
    assert len(answers) == len(random_crops)
    for row, answer in zip(probabilities, answers, strict=True):
        assert answer[0].class_id == row.argmax()
        assert [each.score for each in answer] == sorted((each.score for each in answer), reverse=True)
        assert answer[0].score == pytest.approx(row.max(), abs=1e-5)
    assert {len(answer) for answer in answers} == {3}
    assert all(each.name and not each.name.isdigit() for answer in answers for each in answer)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_input_that_is_not_sign_crops_is_refused_before_it_is_sent(server: RunningServer, protocol: Protocol) -> None:
    with connect(server, protocol) as client:
        wrong: list[npt.NDArray[Any]] = [
            np.zeros((1, 32, 32, 3), np.uint8),
            np.zeros((1, 48, 48, 3), np.float32),
            np.zeros((48, 48, 3), np.uint8),
            np.zeros((0, 48, 48, 3), np.uint8),
        ]
        for images in wrong:
            with pytest.raises(RefusedError, match="the model takes uint8"):
                client.probabilities(images)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_unknown_model_or_version_is_named(server: RunningServer, protocol: Protocol) -> None:
    url = server.grpc_url if protocol == "grpc" else server.http_url
    for model, part in (("no_such_model", "no_such_model"), ("sign_classifier/99", "version")):
        unknown = pytest.raises(UnknownModelError, match=rf"answers: .*{part}")
        with SignClient(url, protocol, model) as client, unknown:
            client.input_size()


def test_a_malformed_request_is_refused_and_the_next_one_served(server: RunningServer, random_crops: Crops) -> None:
    client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
    try:
        for shape, datatype in (((1, 32, 32, 3), "UINT8"), ((1, 48, 48, 3), "FP32"), ((65, 48, 48, 3), "UINT8")):
            tensor = tritonclient.grpc.InferInput("images", shape, datatype)
            tensor.set_data_from_numpy(np.zeros(shape, np.uint8 if datatype == "UINT8" else np.float32))
            with pytest.raises(InferenceServerException):
                client.infer("sign_classifier", [tensor])
    finally:
        client.close()
    with connect(server, "grpc") as good:
        assert good.probabilities(random_crops[:1]).shape == (1, 43)


def test_the_metrics_count_what_was_asked(server: RunningServer, random_crops: Crops) -> None:
    def images_served() -> float:
        with urllib.request.urlopen(server.metrics_url) as response:
            lines = response.read().decode().splitlines()
        line = next(line for line in lines if line.startswith('nv_inference_count{model="sign_classifier"'))
        return float(line.split()[-1])

    def settled() -> float:
        """Triton counts a request after its answer has gone out: waits until the last ones are counted."""
        last = images_served()
        while True:
            time.sleep(0.5)
            now = images_served()
            if now == last:
                return now
            last = now

    before = settled()
    with connect(server, "http") as client:
        client.probabilities(random_crops[:10])
    assert settled() == before + 10


def predict(server: RunningServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    code = "from clients.command.main import main; main()"
    command = [sys.executable, "-c", code, "predict", *arguments, "--url", server.grpc_url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_signs_predict_crops_answers_for_each_picture(
    server: RunningServer, random_crops: Crops, tmp_path: Path
) -> None:
    import json

    paths = [tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "c.ppm"]
    for path, crop in zip(paths, random_crops, strict=False):
        Image.fromarray(crop).resize((80, 70)).save(path)
    result = predict(server, "--crops", *map(str, paths), "--json")
    assert result.returncode == 0, result.stderr
    answers = json.loads(result.stdout)
    assert [answer["image"] for answer in answers] == [str(path) for path in paths]
    for answer in answers:
        assert len(answer["predictions"]) == 3
        assert set(answer["predictions"][0]) == {"class_id", "name", "score"}
    table = predict(server, "--crops", str(paths[0]))
    assert table.returncode == 0
    assert answers[0]["predictions"][0]["name"] in table.stdout
