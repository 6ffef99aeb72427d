"""Finds the part of a network for a lower precision: its layers, without normalisation and outputs."""

import onnx

from export.errors import ExportError

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def inner_layers(graph: onnx.GraphProto) -> list[str]:
    """Returns the names of the operators from the first weighted layer up to, and without, the last ones.

    The normalisation before needs all digits. The last layers, and all after them, are small and give the outputs: a
    softmax, or peaks that must be higher than their neighbours and boxes with coordinates above 1,000, where half
    precision has only whole pixels. Operators are in the order of computation, each with a unique name.

    Raises:
        ExportError: there are none, so that the network has no other precision than fp32.
    """
    constants = {tensor.name for tensor in graph.initializer}
    weighted = {
        node.name for node in graph.node if node.op_type in WEIGHTED and any(name in constants for name in node.input)
    }
    after, alive = set(), set()
    for node in graph.node:
        if node.name in weighted or any(name in alive for name in node.input):
            after.add(node.name)
            alive.update(node.output)
    before, wanted = set(), set()
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            before.add(node.name)
        if node.name in before or node.name in weighted:
            wanted.update(node.input)
    inner = [node.name for node in graph.node if node.name in after & before]
    if not inner:
        raise ExportError(
            "this network has fewer than two layers with weights, and the last one stays fp32: export it with "
            "--precision fp32"
        )
    return inner
