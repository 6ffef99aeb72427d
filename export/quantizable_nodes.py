"""Which part of a network bears a lower precision: its layers, but neither what comes before nor what is read off."""

import onnx

from export.errors import ExportError

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def inner_layers(graph: onnx.GraphProto) -> list[str]:
    """Returns the names of the operators from the first weighted layer on, up to and without the last ones.

    Before the first, bytes are normalised: their mean and spread want all digits. The last layers stay as they are,
    and so does what follows them. They are small, and what they say is read off directly: a softmax, or a peak that
    must be higher than its neighbours and boxes with coordinates above 1,000, where half precision counts in whole
    pixels.

    Args:
        graph: of a network, operators in the order of their calculation, each with a name of its own.

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
