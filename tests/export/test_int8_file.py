"""The int8 file beside the usual one: of the same network, with the same tensors and classes, or refused."""

import shutil
from pathlib import Path

import onnx
import pytest

from export.engine import engine_config
from export.errors import RepositoryError
from export.explanation import explain
from export.predictor import OnnxPredictor
from export.repository.class_names import CLASS_NAMES
from export.repository.manifest import INT8_FILE, MODEL_FILE
from export.repository.onnx_file import check_onnx
from export.repository.policy import read_config
from export.repository.pull import pull

MODEL = "sign_classifier"
CONFIG = "configs/cpu-int8-2.pbtxt"


@pytest.fixture
def folder(int8_repository: Path, tmp_path: Path) -> Path:
    """A version with both files."""
    return shutil.copytree(int8_repository / MODEL / "1", tmp_path / "version")


def refusal(folder: Path) -> str:
    with pytest.raises(RepositoryError) as caught:
        check_onnx(folder, "here")
    return str(caught.value)


def test_it_is_of_the_network_beside_it(folder: Path) -> None:
    check_onnx(folder, "here")
    names = [OnnxPredictor(folder / name).class_names() for name in (MODEL_FILE, INT8_FILE)]
    assert names[0] == names[1]


def test_a_configuration_without_its_file_is_refused(folder: Path) -> None:
    (folder / INT8_FILE).unlink()
    assert "has no model.int8.onnx, which its configs/cpu-int8-" in refusal(folder)


def test_other_classes_are_refused(folder: Path) -> None:
    model = onnx.load(folder / INT8_FILE)
    entry = next(entry for entry in model.metadata_props if entry.key == CLASS_NAMES)
    entry.value = entry.value.replace("stop", "halt")
    onnx.save(model, folder / INT8_FILE)
    assert "it has other classes than model.onnx: class 14 is 'halt' instead of 'stop'" in refusal(folder)


def test_another_network_is_refused(folder: Path) -> None:
    model = onnx.load(folder / INT8_FILE)
    bias = next(each for each in model.graph.initializer if each.name.endswith("head.bias"))
    bias.raw_data = bytes(len(bias.raw_data))
    onnx.save(model, folder / INT8_FILE)
    assert "it is of another network than model.onnx" in refusal(folder)


def test_other_tensors_are_refused(folder: Path) -> None:
    model = onnx.load(folder / INT8_FILE)
    model.graph.output[0].name = "scores"
    model.graph.node[-1].output[0] = "scores"
    onnx.save(model, folder / INT8_FILE)
    assert "it has no output probabilities, only scores" in refusal(folder)


def test_a_pull_brings_it_and_a_damaged_one_is_refused(int8_repository: Path, tmp_path: Path) -> None:
    pull(int8_repository, tmp_path / "models", {MODEL: [1]}, configuration="cpu-int8-4")
    assert (tmp_path / "models" / MODEL / "1" / INT8_FILE).is_file()
    assert (tmp_path / "models" / MODEL / CONFIG).is_file()
    source = shutil.copytree(int8_repository, tmp_path / "source")
    (source / MODEL / "1" / INT8_FILE).write_bytes(b"x")
    with pytest.raises(RepositoryError, match=r"model\.int8\.onnx is not the file that was published"):
        pull(source, tmp_path / "more", {MODEL: [1]}, configuration="cpu-int8-4")


def test_its_configuration_is_explained(folder: Path) -> None:
    config = read_config((folder / CONFIG).read_bytes(), "")
    why = {choice.name: choice.why for choice in explain(config)}
    assert "the int8 file" in why["default_model_filename"]
    assert not engine_config(config).default_model_filename
