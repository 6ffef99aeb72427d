"""A detector that needs no training, in the form of the real one: it stands in for the trained `sign_detector`.

A grid of cells is laid over the scene. A cell's score is the share of its pixels that are bright, saturated red, and
the cell itself is the box; so a test that paints a cell red knows box and score exactly.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2 as pb

from export.config import to_text
from export.repository import Manifest, publish

CELL = 40  # pixels
TOP = 100  # boxes of each scene
CATEGORY = 2  # danger, of every box


def red_detector(height: int, width: int) -> bytes:
    """Returns the ONNX file of a detector for scenes of `height` and `width` pixels, multiples of CELL."""
    columns = width // CELL
    constants: dict[str, object] = {
        "flat": np.array([-1, 1, height, width], np.int64),
        "cells": np.array([0, -1], np.int64),
        "top": np.array([TOP], np.int64),
        "columns": np.array(columns, np.int64),
        "cell": np.array(CELL, np.int64),
        "last": np.array([2], np.int64),
        "contrast": np.array(100, np.float32),
        "category": np.array(CATEGORY, np.int32),
    }
    nodes = [
        helper.make_node("Cast", ["scenes"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Split", ["float"], ["red", "green", "blue"], axis=3, num_outputs=3),
        helper.make_node("Max", ["green", "blue"], ["other"]),
        helper.make_node("Sub", ["red", "other"], ["excess"]),
        helper.make_node("Greater", ["excess", "contrast"], ["is_red"]),
        helper.make_node("Cast", ["is_red"], ["one"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["one", "flat"], ["image"]),
        helper.make_node("AveragePool", ["image"], ["share"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Reshape", ["share", "cells"], ["shares"]),
        helper.make_node("TopK", ["shares", "top"], ["scores", "index"], axis=1),
        helper.make_node("Div", ["index", "columns"], ["row"]),
        helper.make_node("Mod", ["index", "columns"], ["column"]),
        helper.make_node("Mul", ["column", "cell"], ["left"]),
        helper.make_node("Mul", ["row", "cell"], ["upper"]),
        helper.make_node("Add", ["left", "cell"], ["right"]),
        helper.make_node("Add", ["upper", "cell"], ["lower"]),
    ]
    for side in ("left", "upper", "right", "lower"):
        nodes.append(helper.make_node("Unsqueeze", [side, "last"], [f"{side}_last"]))
    nodes += [
        helper.make_node("Concat", ["left_last", "upper_last", "right_last", "lower_last"], ["corners"], axis=2),
        helper.make_node("Cast", ["corners"], ["boxes"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["scores"], ["shape"]),
        helper.make_node("Expand", ["category", "shape"], ["categories"]),
    ]
    graph = helper.make_graph(
        nodes,
        "red_detector",
        [helper.make_tensor_value_info("scenes", TensorProto.UINT8, ["batch", height, width, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", TOP, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", TOP]),
            helper.make_tensor_value_info("categories", TensorProto.INT32, ["batch", TOP]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def detector_config(height: int, width: int, max_batch: int) -> pb.ModelConfig:
    """Describes such a detector to Triton."""
    return pb.ModelConfig(
        name="sign_detector",
        platform="onnxruntime_onnx",
        max_batch_size=max_batch,
        instance_group=[pb.ModelInstanceGroup(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)],
        dynamic_batching=pb.ModelDynamicBatching(),
        input=[pb.ModelInput(name="scenes", data_type=pb.TYPE_UINT8, dims=[height, width, 3])],
        output=[
            pb.ModelOutput(name="boxes", data_type=pb.TYPE_FP32, dims=[TOP, 4]),
            pb.ModelOutput(name="scores", data_type=pb.TYPE_FP32, dims=[TOP]),
            pb.ModelOutput(name="categories", data_type=pb.TYPE_INT32, dims=[TOP]),
        ],
    )


def publish_red_detector(
    repository: Path, height: int = 400, width: int = 680, max_batch: int = 3, data: dict[str, str] | None = None
) -> Manifest:
    """Publishes such a detector; the small batch makes the recognizer divide a larger one.

    `data` is what its manifest is to say of the data that it learned from.
    """
    facts = {
        "source": {},
        "data": data or {},
        "opset": 20,
        "ir_version": 10,
        "precision": "fp32",
        "inputs": [],
        "outputs": [],
        "parity": {},
        "metrics": {},
    }
    config = to_text(detector_config(height, width, max_batch))
    return publish(
        repository, "sign_detector", {"model.onnx": red_detector(height, width)}, {"config.pbtxt": config}, facts
    )
