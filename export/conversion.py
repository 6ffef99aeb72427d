"""PyTorch to ONNX: one file, a dynamic batch, and an opset and IR that the target's ONNX Runtime reads."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from export.errors import ExportError
from training.checkpoint import CheckpointInfo

# The serving image (tritonserver 26.07) carries ONNX Runtime 1.27. Opset 20 and IR 10 are what the exporter of
# PyTorch writes by itself, and every ONNX Runtime since 1.18 reads them.
OPSET = 20
IR_VERSION = 10
INPUT_NAME = "images"
OUTPUT_NAME = "probabilities"


class WithSoftmax(nn.Module):
    """A classifier whose answers are probabilities: what is served."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 [n, h, w, 3] to float32 [n, classes]; rows sum to one."""
        probabilities: Tensor = self.classifier(images).softmax(dim=1)
        return probabilities


def convert(model: nn.Module, info: CheckpointInfo, path: Path) -> None:
    """Writes a classifier as ONNX and checks the file.

    The graph takes `images`, uint8 [batch, size, size, 3], normalises them itself, and gives `probabilities`,
    float32 [batch, classes]. Where the model comes from stands in its metadata.

    Args:
        model: maps uint8 [n, size, size, 3] to logits.
        info: of the checkpoint the model was loaded from.
        path: of the file to write.

    Raises:
        ExportError: the exporter failed, or its result is not what was asked for.
    """
    example = torch.zeros((2, *info.input_size, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    try:
        with _quiet():
            program = torch.onnx.export(
                WithSoftmax(model.eval()),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_shapes=({0: batch},),
                external_data=False,
            )
    except Exception as error:  # the exporter raises whatever its many passes raise
        raise ExportError(f"PyTorch cannot export this network to ONNX: {error}") from error
    assert program is not None
    proto = program.model_proto
    metadata = {
        "architecture": info.architecture,
        "class_names": "\n".join(info.class_names),
        "data_fingerprint": info.data.get("fingerprint", ""),
        "run_id": info.run_id,
        "git_commit": info.git_commit,
    }
    onnx.helper.set_model_props(proto, metadata)
    check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, path)


def check_model(proto: onnx.ModelProto) -> None:
    """Checks that a model is whole, of our opset and IR, and takes any batch.

    Raises:
        ExportError: it is not; the message says what was found.
    """
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the ONNX file is not valid: {error}") from error
    opsets = {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import}
    # The exporter lowers an opset with a log line at most, and may keep the newer one: never trust, always look.
    if opsets.get("ai.onnx") != OPSET or proto.ir_version > IR_VERSION:
        raise ExportError(
            f"the ONNX file has opset {opsets} and IR {proto.ir_version}; "
            f"the serving image wants opset {OPSET} and IR {IR_VERSION} at most"
        )
    for value in (*proto.graph.input, *proto.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ExportError(f"the batch of {value.name} is fixed: Triton could not batch requests")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's own progress lines and its libraries' warnings away from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
