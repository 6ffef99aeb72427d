"""Which operators bear a lower precision: those between the first layer and the last."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError
from export.quantizable_nodes import inner_layers


def chain(*operators: str) -> onnx.GraphProto:
    """Returns operators one after the other; those in capitals have weights."""
    nodes = [
        helper.make_node(
            "MatMul" if each.isupper() else "Relu",
            [f"t{index}", "weights"] if each.isupper() else [f"t{index}"],
            [f"t{index + 1}"],
            name=each,
        )
        for index, each in enumerate(operators)
    ]
    value = helper.make_tensor_value_info
    return helper.make_graph(
        nodes,
        "chain",
        [value("t0", TensorProto.FLOAT, [1, 2])],
        [value(f"t{len(operators)}", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.eye(2, dtype=np.float32), "weights")],
    )


def test_what_comes_before_the_first_layer_and_the_last_layer_itself_stay() -> None:
    assert inner_layers(chain("normalise", "A", "relu", "B", "relu2", "C", "read")) == ["A", "relu", "B", "relu2"]


def test_of_parallel_heads_all_stay() -> None:
    graph = chain("A", "relu", "B")
    graph.node.append(helper.make_node("MatMul", ["t2", "weights"], ["other"], name="SECOND HEAD"))
    graph.node.append(helper.make_node("Relu", ["other"], ["read"], name="read"))
    assert inner_layers(graph) == ["A", "relu"]


def test_a_network_of_one_layer_has_fp32_alone() -> None:
    with pytest.raises(ExportError, match=r"fewer than two layers with weights.*--precision fp32"):
        inner_layers(chain("normalise", "A", "read"))
