"""The file for GPUs: the same network with a batch that is fixed inside the graph and free outside.

ONNX Runtime's CUDA provider searches an algorithm for every convolution again whenever the size of the batch changes,
and keeps no earlier result. A graph whose convolutions have one batch each searches once. So black images pad a request
to the next of a few sizes, and their answers are cut off. Inputs and outputs, and so callers and config.pbtxt, do not
change. A CPU would compute the black images in vain.

Several sizes are branches of `If` that share the weights.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from export.errors import ExportError
from export.repository.onnx_file import AT_BATCH, FIXED_BATCHES

LEAST_SHARED = 1024  # bytes: smaller tensors stay in the file, and each branch has its own
CONVOLUTIONS = ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv")


class _Branch(NamedTuple):
    """A network at one size or at several: its operators, small constants and names of its outputs."""

    nodes: list[NodeProto]
    constants: list[TensorProto]
    answers: list[str]


def fix_batch(model: onnx.ModelProto, sizes: Sequence[int]) -> onnx.ModelProto:
    """Returns a network whose convolutions have a fixed batch.

    Args:
        model: network with one input [batch, ...] and any number of outputs [batch, ...].
        sizes: of the batches, smallest first; a request runs in the first that it fits in, and fails if it is larger
            than the last.

    Raises:
        ExportError: a convolution still has a batch that is not one of these.
    """
    graph = model.graph
    (source,) = graph.input
    branches = [_branch(graph, source, size) for size in sizes]
    whole = branches[-1]
    for size, smaller in zip(reversed(sizes[:-1]), reversed(branches[:-1]), strict=True):
        whole = _choose(graph, source, size, smaller, whole)
    nodes = whole.nodes + [
        helper.make_node("Identity", [answer], [output.name], name=f"give_{output.name}")
        for answer, output in zip(whole.answers, graph.output, strict=True)
    ]
    weights = [tensor for tensor in graph.initializer if _is_shared(tensor)]
    fixed = helper.make_model(
        helper.make_graph(nodes, graph.name, [source], graph.output, [*weights, *whole.constants]),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(fixed, metadata | {FIXED_BATCHES: ",".join(map(str, sizes))})
    require_fixed(fixed, sizes)
    return fixed


def require_fixed(model: onnx.ModelProto, sizes: Sequence[int]) -> None:
    """Raises ExportError unless each convolution, by shape inference, has one of these batches.

    A network without any passes: a new batch size costs it nothing.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for name, batch in _convolution_batches(inferred.graph, {}):
        if batch not in sizes:
            wanted = " or ".join(map(str, sizes))
            raise ExportError(
                f"the convolution {name} has a batch of {batch or 'any size'}, not of {wanted}, which a GPU needs: "
                "export for CPUs alone with --target cpu, or change the network"
            )


def share_weights(model: onnx.ModelProto, other: bytes, name: str) -> None:
    """Replaces the weights of a network that another file has by references into that file; modifies the network.

    ONNX's external data can be a part of any file, so the other file works alone and no weight is stored twice.

    Args:
        other: content of the other file, an ONNX file.
        name: of the other file, in the folder that this network is to lie in.
    """
    start = 0
    for tensor in model.graph.initializer:
        if not _is_shared(tensor):
            continue
        # Both have their weights in the same order, so the search starts after the last hit.
        place = other.find(tensor.raw_data, start)
        place = other.find(tensor.raw_data) if place < 0 else place
        if place < 0:
            continue
        start = place + len(tensor.raw_data)
        set_external_data(tensor, name, place, len(tensor.raw_data))
        tensor.ClearField("raw_data")


def _is_shared(tensor: TensorProto) -> bool:
    return len(tensor.raw_data) >= LEAST_SHARED


def _branch(graph: onnx.GraphProto, source: ValueInfoProto, size: int) -> _Branch:
    before = AT_BATCH.format(size)
    outside = {"", source.name, *(tensor.name for tensor in graph.initializer if _is_shared(tensor))}
    sizes = [dim.dim_value for dim in source.type.tensor_type.shape.dim[1:]]
    constants = [
        numpy_helper.from_array(np.array(values, np.int64), before + name)
        for name, values in (
            ("fill_size", [size]),
            ("fill_image", sizes),
            ("fill_full", [size, *sizes]),
            ("fill_axis", [0]),
        )
    ]
    for tensor in graph.initializer:
        if not _is_shared(tensor):  # shape inference sees no constant from outside a branch
            constants.append(deepcopy(tensor))
            constants[-1].name = before + tensor.name

    def inside(name: str) -> str:
        return name if name in outside else before + name

    # What is added has names of its own, `fill_...`, beside those of the network.
    def node(kind: str, inputs: Sequence[str], output: str, **attributes: object) -> NodeProto:
        return helper.make_node(
            kind, [inside(name) for name in inputs], [before + output], name=f"{before}{kind}_{output}", **attributes
        )

    black = helper.make_tensor("value", source.type.tensor_type.elem_type, [1], [0])
    nodes = [
        node("Shape", [source.name], "fill_given", start=0, end=1),
        node("Sub", ["fill_size", "fill_given"], "fill_missing"),
        node("Concat", ["fill_missing", "fill_image"], "fill_shape", axis=0),
        node("ConstantOfShape", ["fill_shape"], "fill_black", value=black),
        node("Concat", [source.name, "fill_black"], "fill_images", axis=0),
        node("Reshape", ["fill_images", "fill_full"], source.name),
    ]
    outside.discard(source.name)  # from here on it is the full batch
    for original in graph.node:
        copy = deepcopy(original)
        copy.name = before + original.name if original.name else ""  # the names of nodes must differ
        copy.input[:] = [inside(name) for name in original.input]
        copy.output[:] = [inside(name) for name in original.output]
        nodes.append(copy)
    nodes += [
        node("Slice", [output.name, "fill_axis", "fill_given", "fill_axis"], f"answer_{output.name}")
        for output in graph.output
    ]
    return _Branch(nodes, constants, [f"{before}answer_{output.name}" for output in graph.output])


def _choose(graph: onnx.GraphProto, source: ValueInfoProto, size: int, then: _Branch, otherwise: _Branch) -> _Branch:
    """Returns a network that takes the branch `then` for up to `size` images and `otherwise` for more."""
    before = f"upto_{size}_"

    def body(branch: _Branch, name: str) -> onnx.GraphProto:
        outputs = []
        for answer, output in zip(branch.answers, graph.output, strict=True):
            value = deepcopy(output)
            value.name = answer
            outputs.append(value)
        return helper.make_graph(branch.nodes, before + name, [], outputs, branch.constants)

    answers = [f"{before}answer_{output.name}" for output in graph.output]
    given, fit, fits = (before + name for name in ("given", "fit", "fits"))
    nodes = [
        helper.make_node("Shape", [source.name], [given], name=before + "Shape", start=0, end=1),
        helper.make_node("LessOrEqual", [given, before + "size"], [fit], name=before + "LessOrEqual"),
        helper.make_node("Squeeze", [fit], [fits], name=before + "Squeeze"),
        helper.make_node(
            "If",
            [fits],
            answers,
            name=before + "If",
            then_branch=body(then, "yes"),
            else_branch=body(otherwise, "no"),
        ),
    ]
    return _Branch(nodes, [numpy_helper.from_array(np.array([size], np.int64), before + "size")], answers)


def _convolution_batches(graph: onnx.GraphProto, outer: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yields name and batch of input and output of each convolution, 0 for a batch that is not fixed."""
    batches = dict(outer)
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        batches[value.name] = dims[0].dim_value if dims else 0
    for node in graph.node:
        if node.op_type in CONVOLUTIONS:
            yield node.name, batches.get(node.input[0], 0)
            yield node.name, batches.get(node.output[0], 0)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _convolution_batches(attribute.g, batches)
