"""Half precision is where it belongs, and what would not fit into it is refused."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from export.classification_parity import require_same_classes
from export.conversion import check_model
from export.detection_parity import require_same_signs
from export.errors import ExportError
from export.fp16 import require_range, to_fp16
from export.parity import probe_images
from export.precision import FP16, TOLERANCES
from export.predictor import OnnxPredictor
from export.quantizable_nodes import inner_layers

pytestmark = pytest.mark.kernels

Crops = npt.NDArray[np.uint8]


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Returns the datatypes of all tensors of a model by name."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in graph.initializer
    }


def test_layers_are_halves_between_two_casts_and_the_rest_stays(classifier_onnx: Path) -> None:
    fp32 = onnx.load(classifier_onnx)
    half = to_fp16(fp32)
    check_model(half)
    assert half.metadata_props == fp32.metadata_props
    of, before = types(half), types(fp32)
    for name in (fp32.graph.input[0].name, fp32.graph.output[0].name):
        assert of[name] == before[name]
    nodes = {node.name: node for node in half.graph.node}
    for name in inner_layers(fp32.graph):
        assert {of[each] for each in (*nodes[name].input, *nodes[name].output)} <= {
            TensorProto.FLOAT16,
            TensorProto.INT64,
        }
    for node in fp32.graph.node:
        if node.name not in inner_layers(fp32.graph):
            assert nodes[node.name] == node
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    assert len(casts) == 2 + 1, "into the layers, out of them, and that of the bytes"
    assert half.ByteSize() < 0.6 * fp32.ByteSize()


def test_a_classifier_in_halves_answers_as_in_fp32(classifier_onnx: Path, tmp_path: Path, random_crops: Crops) -> None:
    onnx.save(to_fp16(onnx.load(classifier_onnx)), tmp_path / "half.onnx")
    images = probe_images(random_crops)
    answers = [OnnxPredictor(path)(images) for path in (classifier_onnx, tmp_path / "half.onnx")]
    parity = require_same_classes(answers[0], answers[1], len(random_crops), TOLERANCES[FP16])
    assert parity.max_difference > 1e-6, "nothing was rounded"


def test_a_detector_keeps_its_last_layer_and_boxes_in_fp32(detector_onnx: Path, tmp_path: Path) -> None:
    half = to_fp16(onnx.load(detector_onnx))
    check_model(half)
    of = types(half)
    for node in half.graph.node:
        if node.op_type in ("TopK", "Exp", "AveragePool", "Sigmoid", "GatherElements"):
            assert TensorProto.FLOAT16 not in {of[name] for name in (*node.input, *node.output)}
        if node.op_type == "Resize":
            assert of[node.input[0]] == TensorProto.FLOAT16
            assert of[node.input[2]] == TensorProto.FLOAT, "ONNX wants the scales so"
    onnx.save(half, tmp_path / "half.onnx")
    scenes = (
        np.random.default_rng(1).integers(0, 256, (4, 12, 20, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    )
    answers = [OnnxPredictor(path)(scenes) for path in (detector_onnx, tmp_path / "half.onnx")]
    assert (answers[0]["scores"] > TOLERANCES[FP16].floor).any()
    require_same_signs(answers[0], answers[1], len(scenes), TOLERANCES[FP16])


def test_weights_too_large_for_halves_are_refused(classifier_onnx: Path) -> None:
    model = onnx.load(classifier_onnx)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("conv1.weight"))
    values = numpy_helper.to_array(weights) * 1e8
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    with pytest.raises(ExportError, match=r"the weights .*conv1\.weight go up to .*--precision fp32"):
        to_fp16(model)


def test_activations_too_large_for_halves_are_refused(classifier_onnx: Path, random_crops: Crops) -> None:
    model = onnx.load(classifier_onnx)
    require_range(model, random_crops[:4])
    weights = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("stem.0.weight"))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 5e4, weights.name))
    to_fp16(model)  # the weights themselves fit
    with pytest.raises(ExportError, match=r"the activations .* go up to .*--precision fp32"):
        require_range(model, random_crops[:4])
