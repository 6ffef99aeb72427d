"""What the serving image would not load is not published either, and the message says why."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from export.errors import RepositoryError
from export.repository import publish_copy, versions
from export.repository.onnx_file import READS_IR, READS_OPSET, check_onnx

CONFIG = """
name: "m"
platform: "onnxruntime_onnx"
max_batch_size: 8
input { name: "images" data_type: TYPE_UINT8 dims: [4, 4, 3] }
output { name: "probabilities" data_type: TYPE_FP32 dims: 48 label_filename: "labels.txt" }
"""


def network(batch: int | str = "batch", ir: int = 10, opset: int = 20) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, 4, 4, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 48])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """Folder of a model that was made by hand: one whole version, its configuration and 48 names beside it."""
    folder = tmp_path / "by_hand" / "m"
    (folder / "1").mkdir(parents=True)
    onnx.save(network(), folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "labels.txt").write_text("".join(f"class {number}\n" for number in range(48)))
    return folder


def refusal(folder: Path) -> str:
    """Publishes the model and returns why it is refused."""
    place = folder.parents[1] / "repository"
    with pytest.raises(RepositoryError) as caught:
        publish_copy(folder / "1", place)
    assert versions(place, "m") == []
    return str(caught.value)


def test_a_whole_model_that_fits_is_published(by_hand: Path, tmp_path: Path) -> None:
    assert publish_copy(by_hand / "1", tmp_path / "repository").version == 1


def test_the_configurations_beside_it_come_with_it(by_hand: Path, tmp_path: Path) -> None:
    (by_hand / "configs").mkdir()
    gpu = by_hand / "configs" / "gpu.pbtxt"
    gpu.write_text(CONFIG + 'default_model_filename: "model.gpu.onnx"\n')
    assert "has no model.gpu.onnx, which its configs/gpu.pbtxt serves" in refusal(by_hand)
    onnx.save(network(), by_hand / "1" / "model.gpu.onnx")
    gpu.write_text(gpu.read_text().replace('label_filename: "labels.txt"', ""))
    assert "configs/gpu.pbtxt has other outputs than config.pbtxt" in refusal(by_hand)
    gpu.write_text(CONFIG + 'default_model_filename: "model.gpu.onnx"\n')
    copy = publish_copy(by_hand / "1", tmp_path / "repository")
    assert "configs/gpu.pbtxt" in copy.files
    assert (tmp_path / "repository" / "m" / "configs" / "gpu.pbtxt").is_file()


def test_what_no_server_completes_may_not_be_left_out(by_hand: Path) -> None:
    (by_hand / "config.pbtxt").write_text('name: "m"\nbackend: "onnxruntime"\nmax_batch_size: 8\n')
    reason = refusal(by_hand)
    assert "its input images is missing in config.pbtxt; its output probabilities is missing in config.pbtxt" in reason
    assert reason.endswith("or correct config.pbtxt")


@pytest.mark.parametrize("size", [0, 60, -40])
def test_a_truncated_file_is_refused(by_hand: Path, size: int) -> None:
    path = by_hand / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:size])
    assert "m/1/model.onnx is not a complete ONNX file" in refusal(by_hand)


def test_without_a_configuration_the_file_is_checked_all_the_same(by_hand: Path) -> None:
    (by_hand / "config.pbtxt").unlink()
    (by_hand / "1" / "model.onnx").write_bytes(b"no network")
    assert "not a complete ONNX file" in refusal(by_hand)


@pytest.mark.parametrize(("ir", "opset", "reason"), [(READS_IR + 1, 20, "IR 14"), (10, READS_OPSET + 1, "opset 27")])
def test_a_file_newer_than_the_serving_image_reads_is_refused(by_hand: Path, ir: int, opset: int, reason: str) -> None:
    onnx.save(network(ir=ir, opset=opset), by_hand / "1" / "model.onnx")
    assert f"it has {reason}, the serving image reads" in refusal(by_hand)


def test_the_newest_that_the_serving_image_reads_is_published(by_hand: Path, tmp_path: Path) -> None:
    onnx.save(network(ir=READS_IR, opset=READS_OPSET), by_hand / "1" / "model.onnx")
    assert publish_copy(by_hand / "1", tmp_path / "repository").version == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"images"', '"pictures"', "it has no input pictures, only images; its input images is missing"),
        ('"probabilities"', '"logits"', "it has no output logits, only probabilities"),
        ("TYPE_UINT8", "TYPE_FP32", "its input images is UINT8, config.pbtxt says FP32"),
        ("[4, 4, 3]", "[8, 8, 3]", r"its input images has the shape [4, 4, 3], config.pbtxt says [8, 8, 3]"),
        ("dims: 48", "dims: 43", "its output probabilities has the shape [48], config.pbtxt says [43]"),
        ("batch_size: 8", "batch_size: 0", "its input images has the shape [-1, 4, 4, 3]"),
    ],
)
def test_a_configuration_of_another_network_is_refused(by_hand: Path, old: str, new: str, reason: str) -> None:
    assert old in CONFIG
    (by_hand / "config.pbtxt").write_text(CONFIG.replace(old, new))
    assert reason in refusal(by_hand)


def test_names_of_other_classes_are_refused(by_hand: Path) -> None:
    (by_hand / "labels.txt").write_text("stop\ngive way\n")
    assert "it has 48 classes, and labels.txt names 2" in refusal(by_hand)


def test_a_fixed_batch_is_refused_where_triton_is_to_batch(by_hand: Path) -> None:
    onnx.save(network(batch=1), by_hand / "1" / "model.onnx")
    assert "its input images has a fixed batch of 1" in refusal(by_hand)


def test_a_missing_file_is_named(by_hand: Path) -> None:
    (by_hand / "1" / "model.onnx").rename(by_hand / "1" / "other.onnx")
    assert "model.onnx" in refusal(by_hand)


def test_models_of_other_backends_pass(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('name: "m"\nbackend: "python"\n')
    check_onnx(tmp_path, "here")
