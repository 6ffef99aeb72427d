"""Half precision as types in the graph, which every runtime reads and TensorRT 11 requires.

Two converters were tried on our classifier: that of ONNX Runtime 1.32 writes an invalid graph; that of
onnxconverter-common 1.16 keeps every tensor outside the layers in half precision, and so rounds what must stay exact.
"""

from copy import deepcopy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.arrays import Images
from export.conversion import OPSET
from export.devices import open_session
from export.errors import ExportError
from export.quantizable_nodes import inner_layers

LARGEST = float(np.finfo(np.float16).max)


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a network whose inner layers (`export.quantizable_nodes`) have weights and activations in half precision.

    Inputs and outputs keep their types; casts connect the parts. Each operator of `model`, in fp32, must have a name of
    its own.

    Raises:
        ExportError: a weight is too large for half precision, or the network has no inner layers.
    """
    typed = onnx.shape_inference.infer_shapes(model)
    inner = set(inner_layers(typed.graph))
    floats = _floats(typed.graph)
    made_inside = {name for node in typed.graph.node if node.name in inner for name in node.output if name in floats}
    constants = {tensor.name: tensor for tensor in typed.graph.initializer}
    halves: dict[str, TensorProto] = {}
    cast: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in typed.graph.node:
        if node.name not in inner:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name not in floats or not _takes_halves(node, index):
                continue
            if name in constants:
                halves[name] = _rounded(constants[name])
            elif name not in made_inside and name not in cast:
                cast.add(name)
                nodes.append(_cast(name, _half(name), TensorProto.FLOAT16))
            node.input[index] = _half(name)
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in made_inside:
                node.output[index] = _half(name)
                nodes.append(_cast(_half(name), name, TensorProto.FLOAT))
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    return _rebuilt(model, nodes, halves)


def require_range(model: onnx.ModelProto, images: Images) -> None:
    """Refuses a network whose activations, for images uint8 [n, height, width, 3], come near half precision's limit.

    ONNX Runtime computes half precision on a CPU in single precision, so parity there does not show an overflow.

    Raises:
        ExportError: an activation is larger than half of the largest number.
    """
    typed = onnx.shape_inference.infer_shapes(model)
    inner = set(inner_layers(typed.graph))
    names = [name for node in typed.graph.node if node.name in inner for name in node.output]
    names = sorted(_floats(typed.graph) & set(names))
    for name in names:
        typed.graph.node.append(helper.make_node("Abs", [name], [f"{name}_abs"], name=f"{name}_abs"))
        typed.graph.node.append(
            helper.make_node("ReduceMax", [f"{name}_abs"], [f"{name}_top"], name=f"{name}_top", keepdims=0)
        )
        typed.graph.output.append(helper.make_tensor_value_info(f"{name}_top", TensorProto.FLOAT, []))
    session = open_session(typed.SerializeToString())
    feed = session.get_inputs()[0].name
    tops = [session.run([f"{name}_top" for name in names], {feed: image[None]}) for image in images]
    largest = dict(zip(names, np.max(tops, axis=0), strict=True))
    worst = max(names, key=lambda name: largest[name])
    if not largest[worst] <= LARGEST / 2:
        raise ExportError(
            f"the activations {worst} go up to {largest[worst]:.3g}, half precision to {LARGEST:g}: export this "
            "network with --precision fp32"
        )


def _rebuilt(model: onnx.ModelProto, nodes: list[onnx.NodeProto], halves: dict[str, TensorProto]) -> onnx.ModelProto:
    """Returns the model with these operators, without unused casts and constants."""
    result = deepcopy(model)
    read = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    kept = [node for node in nodes if node.op_type != "Cast" or node.output[0] in read]
    constants = [*model.graph.initializer, *halves.values()]
    for field in ("node", "initializer", "value_info"):
        result.graph.ClearField(field)
    result.graph.node.extend(kept)
    result.graph.initializer.extend(tensor for tensor in constants if tensor.name in read)
    return onnx.shape_inference.infer_shapes(result)


def _floats(graph: onnx.GraphProto) -> set[str]:
    """Returns the names of all fp32 tensors."""
    typed = (*graph.value_info, *graph.output)
    values = {value.name for value in typed if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return values | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}


def _takes_halves(node: onnx.NodeProto, index: int) -> bool:
    """Returns whether an operator accepts half precision in an input, unlike the scales of a Resize."""
    schema = onnx.defs.get_schema(node.op_type, OPSET, node.domain)
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    return "tensor(float16)" in formal.types


def _rounded(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0))
    if not largest <= LARGEST:
        raise ExportError(
            f"the weights {tensor.name} go up to {largest:.3g}, half precision to {LARGEST:g}: export this network "
            "with --precision fp32"
        )
    return numpy_helper.from_array(values.astype(np.float16), _half(tensor.name))


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"to_{target}", to=kind)


def _half(name: str) -> str:
    return f"{name}_fp16"
