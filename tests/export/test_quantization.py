"""Integers are where they belong, for whom they are meant."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from export.conversion import check_model
from export.errors import ExportError
from export.quantizable_nodes import inner_layers
from export.quantization import quantize

Crops = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def fp32(classifier_onnx: Path) -> onnx.ModelProto:
    return onnx.load(classifier_onnx)


@pytest.fixture(scope="module")
def int8(fp32: onnx.ModelProto, random_crops: Crops) -> onnx.ModelProto:
    return quantize(fp32, random_crops[:32])


def zero_points(model: onnx.ModelProto) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
    """Returns the zero points of all activations."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return [constants[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]


def test_the_file_stays_what_the_serving_image_reads(fp32: onnx.ModelProto, int8: onnx.ModelProto) -> None:
    check_model(int8)
    assert int8.graph.input == fp32.graph.input and int8.graph.output == fp32.graph.output
    assert int8.ByteSize() < 0.4 * fp32.ByteSize()


def test_every_inner_convolution_has_a_scale_for_each_channel(fp32: onnx.ModelProto, int8: onnx.ModelProto) -> None:
    made = {name: node for node in int8.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in int8.graph.initializer}
    inner = set(inner_layers(fp32.graph))
    convolutions = [node for node in int8.graph.node if node.op_type == "Conv"]
    assert {node.name for node in convolutions} <= inner and len(convolutions) > 10
    for node in convolutions:
        activation, weights = (made[name] for name in node.input[:2])
        assert activation.op_type == weights.op_type == "DequantizeLinear"
        assert constants[weights.input[0]].data_type == TensorProto.INT8
        assert list(constants[weights.input[1]].dims) == list(constants[weights.input[0]].dims[:1])


def test_the_last_layer_and_what_comes_before_the_first_stay_float(
    fp32: onnx.ModelProto, int8: onnx.ModelProto
) -> None:
    inner = set(inner_layers(fp32.graph))
    of = {node.name: node for node in int8.graph.node}
    constants = {tensor.name: tensor.data_type for tensor in int8.graph.initializer}
    (gemm,) = (node for node in fp32.graph.node if node.op_type == "Gemm")
    assert constants[of[gemm.name].input[1]] == TensorProto.FLOAT
    outside = [node for node in fp32.graph.node if node.name not in inner and node.name != gemm.name]
    assert all(of[node.name].op_type == node.op_type for node in outside)


def test_for_cpus_activations_are_uint8(int8: onnx.ModelProto) -> None:
    points = zero_points(int8)
    assert {point.dtype for point in points} == {np.dtype(np.uint8)}


def test_for_cpus_no_sum_of_two_products_saturates_16_bits(int8: onnx.ModelProto) -> None:
    made = {name: node for node in int8.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in int8.graph.initializer}
    convolutions = [node for node in int8.graph.node if node.op_type == "Conv"]
    weights = [numpy_helper.to_array(constants[made[node.input[1]].input[0]]) for node in convolutions]
    largest = max(int(np.abs(each.astype(np.int32)).max()) for each in weights)
    assert largest > 32 and 2 * 255 * largest <= np.iinfo(np.int16).max


def test_for_tensorrt_everything_is_symmetric_and_biases_stay_float(detector_onnx: Path) -> None:
    scenes = np.random.default_rng(0).integers(0, 256, (2, 96, 160, 3), dtype=np.uint8)
    model = quantize(onnx.load(detector_onnx), scenes, "tensorrt")
    check_model(model)
    points = zero_points(model)
    assert points and all(point.dtype == np.int8 and not point.any() for point in points)
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    biases = [node.input[2] for node in model.graph.node if node.op_type == "Conv" and len(node.input) > 2]
    assert biases and {constants[name] for name in biases} == {TensorProto.FLOAT}


def test_without_images_to_calibrate_with_it_is_refused(fp32: onnx.ModelProto, random_crops: Crops) -> None:
    with pytest.raises(ExportError, match="calibrated on training images, and there are none"):
        quantize(fp32, random_crops[:0])


def test_images_of_another_size_are_an_error_and_no_traceback(fp32: onnx.ModelProto) -> None:
    with pytest.raises(ExportError, match="cannot be quantised"):
        quantize(fp32, np.zeros((2, 32, 32, 3), np.uint8))
