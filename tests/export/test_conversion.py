"""The ONNX file is what the serving image reads, or there is none."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.conversion import IR_VERSION, OPSET, check_model, convert
from export.errors import ExportError
from training.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def proto(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    convert(*load_checkpoint(checkpoint), path)
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"], "weights must be inside the one file"
    return onnx.load(path)


def test_opset_and_ir_are_those_of_the_target(proto: onnx.ModelProto) -> None:
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", OPSET)]
    assert proto.ir_version <= IR_VERSION


def test_takes_any_batch_of_bytes_and_gives_probabilities(proto: onnx.ModelProto) -> None:
    (images,), (probabilities,) = proto.graph.input, proto.graph.output
    assert (images.name, probabilities.name) == ("images", "probabilities")
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_value for dim in images.type.tensor_type.shape.dim][1:] == [48, 48, 3]
    assert images.type.tensor_type.shape.dim[0].dim_param
    assert [dim.dim_value for dim in probabilities.type.tensor_type.shape.dim][1:] == [43]


def test_metadata_names_classes_and_origin(proto: onnx.ModelProto) -> None:
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["class_names"].split("\n")[14] == "stop"
    assert metadata["data_fingerprint"] == "0" * 64
    assert {"run_id", "git_commit", "architecture"} <= set(metadata)


def test_a_newer_opset_is_refused(proto: onnx.ModelProto) -> None:
    newer = onnx.version_converter.convert_version(proto, OPSET + 1)
    with pytest.raises(ExportError, match=rf"opset .*{OPSET + 1}"):
        check_model(newer)


def test_a_fixed_batch_is_refused(proto: onnx.ModelProto) -> None:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ExportError, match="batch of images is fixed"):
        check_model(fixed)


def test_a_broken_graph_is_refused(proto: onnx.ModelProto) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(proto)
    broken.graph.node[3].input[0] = "nothing"
    with pytest.raises(ExportError, match="not valid"):
        check_model(broken)


def test_a_network_that_cannot_be_exported_leaves_no_file(checkpoint: Path, tmp_path: Path) -> None:
    class Moody(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.float().sum(dim=(1, 2)) if images.sum().item() > 0 else torch.zeros(1, 3)

    with pytest.raises(ExportError, match="cannot export"):
        convert(Moody(), load_checkpoint(checkpoint)[1], tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
