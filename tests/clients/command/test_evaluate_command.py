"""`signs evaluate`: the same figures from PyTorch, from ONNX Runtime and from a running Triton."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.evaluation.run import evaluate_model, leaks
from export.evaluation.settings import EvaluationRequest
from export.repository import Manifest
from serving.server import RunningServer
from tests.clients.command.test_main import one_line, signs
from tests.training.tiny_gtsdb import write_tiny_gtsdb
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError
from training.data.records import Split


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"gtsdb={write_tiny_gtsdb(tmp_path_factory.mktemp('data')).zip}"


def _comparable(figures: dict[str, Any]) -> dict[str, Any]:
    """Returns the figures that must be equal whoever answers; scores may differ in their last digits."""
    mistakes = sorted((each["source"], each["class_id"], each["predicted"]) for each in figures["mistakes"])
    kept = {key: figures[key] for key in ("samples", "wrong", "accuracy", "balanced_accuracy", "classes", "confusion")}
    return {**kept, "mistakes": mistakes}


@pytest.mark.parametrize("split", ["train", "test"])
def test_onnx_runtime_gives_the_figures_of_pytorch(
    checkpoint: Path, repository: Path, manifest: Manifest, data: str, split: Split
) -> None:
    version = repository / manifest.model / str(manifest.version)
    pytorch = evaluate_model(EvaluationRequest(data, checkpoint, split=split))

    assert pytorch["backend"] == "pytorch"
    assert pytorch["samples"] == {"train": 8, "test": 3}[split]
    for path in (version, version / "model.onnx"):
        onnx = evaluate_model(EvaluationRequest(data, path, split=split))
        assert onnx["backend"] == "onnxruntime"
        assert _comparable(onnx) == _comparable(pytorch)
        assert onnx["ece"] == pytest.approx(pytorch["ece"], abs=1e-5)


@pytest.mark.end_to_end
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_triton_gives_the_figures_of_pytorch(
    server: RunningServer, checkpoint: Path, data: str, protocol: Protocol
) -> None:
    url = server.grpc_url if protocol == "grpc" else server.http_url
    pytorch = evaluate_model(EvaluationRequest(data, checkpoint))

    triton = evaluate_model(EvaluationRequest(data, url=url, protocol=protocol, version="1"))

    assert triton["backend"] == f"triton_{protocol}"
    assert _comparable(triton) == _comparable(pytorch)
    assert triton["ece"] == pytest.approx(pytorch["ece"], abs=1e-5)


def test_figures_are_json_and_pictures_are_written(checkpoint: Path, data: str, tmp_path: Path) -> None:
    result = signs("evaluate", str(checkpoint), "--data", data, "--output", str(tmp_path / "out"), "--json")

    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["samples"] == 3 and len(figures["classes"]) == 43
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["accuracy"] == figures["accuracy"]
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert [path.stem for path in pictures] == ["confusion_matrix", "mistakes", "recall", "reliability"]
    for path in pictures:
        with Image.open(path) as picture:
            assert np.asarray(picture).std() > 0


def test_people_get_a_table_and_a_warning_of_training_signs(checkpoint: Path, data: str) -> None:
    result = signs("evaluate", str(checkpoint), "--data", data, "--split", "train")

    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stdout and "of 8)" in result.stdout and "expected calibration error" in result.stdout
    assert "these are training signs" in result.stdout


@pytest.mark.parametrize(
    ("learned_from", "free_of", "warned"),
    [
        ("gtsrb=here", "", True),
        ("gtsrb=here, gtsdb=there", "gtsrb", True),
        ("gtsrb=here, gtsdb=there", "gtsdb,gtsrb", False),
        ("gtsdb=there, synthetic=1000", "", False),
    ],
)
def test_model_that_may_have_seen_the_test_signs_is_warned_of(
    checkpoint: Path, data: str, tmp_path: Path, learned_from: str, free_of: str, warned: bool
) -> None:
    import shutil

    copy = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    info = json.loads((copy / "model.json").read_text())
    info["data"] = {"name": learned_from, "free_of": free_of}
    (copy / "model.json").write_text(json.dumps(info))

    figures = evaluate_model(EvaluationRequest(data, copy))

    assert (
        any("learned from GTSRB, which shows some of these signs" in notice for notice in figures["notices"]) == warned
    )


def test_feedback_may_have_shown_a_model_its_test_and_is_no_street_to_judge_on() -> None:
    mixed = {"name": "gtsdb=there, feedback=here", "free_of": ""}
    (seen,) = leaks("gtsdb", "test", [mixed])
    assert "it learned from FEEDBACK, which may show some of these signs" in seen
    assert leaks("gtsdb", "test", [mixed | {"free_of": "gtsdb"}]) == []
    (hard,) = leaks("feedback", "train", [{"name": "gtsrb=there"}])
    assert "people send what went wrong" in hard
    unknown: list[dict[str, str]] = [{}]
    for trained_on in ([mixed], unknown, unknown[:0]):
        (learned,) = leaks("feedback", "train", trained_on)
        assert "these are training signs" in learned


def test_wrong_input_is_one_line(checkpoint: Path, data: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("not a model")
    assert "give either" in one_line(signs("evaluate", "--data", data))
    assert "give either" in one_line(signs("evaluate", str(checkpoint), "--url", "localhost:1", "--data", data))
    assert "is not a checkpoint, a version" in one_line(signs("evaluate", str(tmp_path / "nowhere"), "--data", data))
    assert "is not an ONNX file" in one_line(signs("evaluate", str(tmp_path / "model.onnx"), "--data", data))
    assert "signs serve" in one_line(signs("evaluate", "--url", "127.0.0.1:1", "--data", data))
    assert "there is no data at" in one_line(signs("evaluate", str(checkpoint), "--data", "gtsdb=nowhere"))
    assert signs("evaluate", str(checkpoint), "--data", data, "--split", "all").returncode == 2
    taken = str(tmp_path / "model.onnx")  # reported before anything is read
    assert "File exists" in one_line(signs("evaluate", str(checkpoint), "--data", data, "--output", taken))


def test_onnx_file_of_something_else_is_refused(tmp_path: Path, data: str, tiny_onnx: Callable[[Path], None]) -> None:
    tiny_onnx(tmp_path / "other.onnx")

    with pytest.raises(ClientError, match="takes x: it is not a classifier, detector or recognizer"):
        evaluate_model(EvaluationRequest(data, tmp_path / "other.onnx"))


@pytest.fixture
def tiny_onnx() -> Callable[[Path], None]:
    """Returns a function that writes an ONNX model which is no sign classifier."""
    from onnx import TensorProto, helper, save

    def write(path: Path) -> None:
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
        result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 8, 8])
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", [value], [result])
        save(helper.make_model(graph), path)

    return write
