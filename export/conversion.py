"""PyTorch to ONNX: one file, a dynamic batch, and an opset and IR that the target's ONNX Runtime reads."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import onnx
import torch
from torch import nn

from export.errors import ExportError
from export.kinds import find_kind
from export.repository.class_names import CLASS_NAMES
from training.checkpoint import CheckpointInfo

# The serving image (tritonserver 26.09) carries ONNX Runtime 1.30; the oldest server that may be on a network, 26.07,
# carries 1.27. Opset 20 and IR 10 are what the exporter of PyTorch writes by itself, and every ONNX Runtime since 1.18
# reads them.
OPSET = 20
IR_VERSION = 10
PRECISION = "precision"  # in the metadata


@dataclass(frozen=True)
class Simplification:
    """Operators and bytes of a graph before and after its simplification."""

    traced_nodes: int
    slim_nodes: int
    traced_bytes: int
    slim_bytes: int


def convert(model: nn.Module, info: CheckpointInfo, path: Path) -> Simplification:
    """Writes a network as simplified ONNX and checks the file.

    The graph takes bytes, uint8 [batch, height, width, 3], and normalises them itself; its tensors have the names of
    its kind (`export.kinds`). Its metadata name the source of the model.

    Raises:
        ExportError: the exporter failed, or its result has another opset, IR or batch.
    """
    example = torch.zeros((2, *info.input_size, 3), dtype=torch.uint8)
    kind = find_kind(info.model)
    batch = torch.export.Dim("batch", min=1, max=4096)
    try:
        with quiet("torch.onnx"):
            program = torch.onnx.export(
                kind.wrap(model.eval()),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[kind.input.name],
                output_names=[output.name for output in kind.outputs],
                dynamic_shapes=({0: batch},),
                external_data=False,
                optimize=False,  # `simplify` does it, and counts
            )
            assert program is not None
            proto, simplification = simplify(program)
    except Exception as error:  # its passes have no common base for their errors
        raise ExportError(f"PyTorch cannot export this network to ONNX: {error}") from error
    metadata = {
        "architecture": info.architecture,
        CLASS_NAMES: "\n".join(info.class_names),
        "data_fingerprint": info.data.get("fingerprint", ""),
        "run_id": info.run_id,
        "git_commit": info.git_commit,
    }
    write_model(proto, path, metadata | {PRECISION: "fp32"})
    return simplification


def simplify(program: torch.onnx.ONNXProgram) -> tuple[onnx.ModelProto, Simplification]:
    """Simplifies, in place, a graph that was traced with `optimize=False`.

    The exporter's own optimizer folds constants, shapes and batch normalisation into the operators that use them.
    onnxslim 0.1 finds nothing more in the classifier afterwards, and folds 2 of the detector's 99 operators into 0.4 MB
    of constants. The stack trace that the exporter stores with every operator, with paths of this machine, is removed.
    """
    traced = program.model_proto
    program.optimize()
    model = program.model_proto
    graph = model.graph
    for message in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    return model, Simplification(len(traced.graph.node), len(graph.node), traced.ByteSize(), model.ByteSize())


def write_model(proto: onnx.ModelProto, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes a model with this metadata only, after `check_model`."""
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(metadata))
    check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, path)


def check_model(proto: onnx.ModelProto) -> None:
    """Raises ExportError unless a model is valid, has our opset and IR, and takes any batch."""
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the ONNX file is not valid: {error}") from error
    opsets = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
    # The exporter logs at most a line if it changes the opset, and may keep a newer one.
    if opsets != {"ai.onnx": OPSET} or proto.ir_version > IR_VERSION:
        raise ExportError(
            f"the ONNX file has opset {opsets} and IR {proto.ir_version}; "
            f"the serving image needs opset {OPSET} and IR {IR_VERSION} at most"
        )
    for value in (*proto.graph.input, *proto.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ExportError(f"the batch of {value.name} is fixed: Triton could not batch requests")


@contextmanager
def quiet(name: str = "") -> Iterator[None]:
    """Keeps what a library prints, warns and logs, below errors of the logger `name`, away from the terminal."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
