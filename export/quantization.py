"""int8: static quantisation, written into the graph as pairs of QuantizeLinear and DequantizeLinear (QDQ)."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.arrays import Images
from export.conversion import quiet
from export.errors import ExportError
from export.kinds import kind_of_inputs
from export.quantizable_nodes import inner_layers

# The type of the activations by target. Weights are symmetric int8, with a scale for each channel, for both.
# ONNX Runtime fuses uint8 with a zero point into integer convolutions, ReLU included: 3.0 times the speed of fp32 on 1
# core with VNNI. It fuses symmetric int8 only where no ReLU follows: 0.9 times. TensorRT accepts symmetric int8 only,
# with biases that are not quantised.
# CPUs without VNNI add two 8-bit products in 16 bits, which saturates: 7-bit weights fit, and give the same answers on
# every CPU.
CPU = "cpu"
TARGETS: dict[str, dict[str, Any]] = {
    CPU: {"activations": QuantType.QUInt8, "seven_bits": True, "options": {"ActivationSymmetric": False}},
    "tensorrt": {
        "activations": QuantType.QInt8,
        "seven_bits": False,
        "options": {"ActivationSymmetric": True, "QuantizeBias": False, "QDQKeepRemovableActivations": True},
    },
}


def quantize(model: onnx.ModelProto, calibration: Images, target: str = CPU) -> onnx.ModelProto:
    """Returns a network whose inner layers (`export.quantizable_nodes`) compute with integers.

    The range of each activation is the one that it has on the calibration images.

    Args:
        model: fp32, each operator with a unique name.
        calibration: uint8 [n, height, width, 3], training images.
        target: one of TARGETS.

    Raises:
        ExportError: there is no image, or the network cannot be quantised.
    """
    if not len(calibration):
        raise ExportError("int8 is calibrated on training images, and there are none: give them with --data")
    wanted = TARGETS[target]
    with tempfile.TemporaryDirectory(prefix="signs-int8-") as scratch, quiet():
        path = Path(scratch) / "int8.onnx"
        try:
            quantize_static(
                onnx.shape_inference.infer_shapes(model),
                path,
                _Reader(model.graph.input[0].name, calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=wanted["activations"],
                weight_type=QuantType.QInt8,
                reduce_range=wanted["seven_bits"],
                nodes_to_quantize=inner_layers(model.graph),
                extra_options=wanted["options"],
            )
        except ExportError:
            raise
        except Exception as error:  # whatever numpy, onnx and ONNX Runtime raise
            raise ExportError(f"this network cannot be quantised ({error}): export it with --precision fp32") from error
        result = onnx.load(path)
    if not any(node.op_type == "QuantizeLinear" for node in result.graph.node):
        raise ExportError("no layer of this network can be quantised: export it with --precision fp32")
    return result


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Batches of images for the calibration."""

    def __init__(self, name: str, images: Images) -> None:
        kind = kind_of_inputs([name])
        size = kind.calibration_batch if kind else 1
        self._batches = iter([{name: images[start : start + size]} for start in range(0, len(images), size)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)
