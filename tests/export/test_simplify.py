"""A slim graph has fewer operators, and says nothing of the machine that made it."""

from pathlib import Path

import onnx

from export.conversion import Simplification


def test_batch_norms_and_shapes_are_folded(converted: tuple[Path, Simplification]) -> None:
    path, saved = converted
    graph = onnx.load(path).graph
    assert saved.slim_nodes == len(graph.node) < saved.traced_nodes / 2
    assert saved.slim_bytes < saved.traced_bytes
    assert not {"BatchNormalization", "Shape", "Expand", "Constant", "Identity"} & {node.op_type for node in graph.node}


def test_no_trace_of_the_source_is_left(converted: tuple[Path, Simplification]) -> None:
    path, _ = converted
    content = path.read_bytes()
    for word in (b"stack_trace", b"classifier.py", str(Path(__file__).parents[2]).encode()):
        assert word not in content
