"""One export from checkpoint to published version: convert, prove, publish."""

import hashlib
import tempfile
from pathlib import Path

import onnx

from export.config import LABELS_FILE, classifier_config, to_text
from export.conversion import IR_VERSION, OPSET, convert
from export.errors import ExportError
from export.parity import (
    MAX_BATCH,
    Images,
    onnxruntime_predictor,
    predict_in_batches,
    probe_images,
    pytorch_predictor,
    require_parity,
)
from export.repository import Manifest, publish
from training.checkpoint import load_checkpoint
from training.models.classifier import MODEL_NAME

DATATYPES = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FP32"}


def export_classifier(checkpoint: Path, repository: Path, samples: Images) -> Manifest:
    """Exports a classifier, proves that it answers as in PyTorch, and publishes it as a new version.

    Args:
        checkpoint: folder of the checkpoint.
        repository: folder of the Triton models.
        samples: uint8 [n, size, size, 3], real images to prove parity on besides random and extreme ones; n may
            be 0.

    Raises:
        ExportError: the model cannot be exported, differs from PyTorch, or cannot be published. Nothing is.
        training.errors.CheckpointError: the checkpoint cannot be read.
    """
    model, info = load_checkpoint(checkpoint, MODEL_NAME)
    with tempfile.TemporaryDirectory(prefix="signs-export-") as scratch:
        path = Path(scratch) / "model.onnx"
        convert(model, info, path)
        if samples.shape[1:] != (*info.input_size, 3):
            raise ExportError(f"samples are {samples.shape[1:]}, the model takes {info.input_size}")
        images = probe_images(samples)
        parity = require_parity(
            pytorch_predictor(model)(images),
            predict_in_batches(onnxruntime_predictor(path), images),
            real=len(samples),
        )
        graph = onnx.load(path).graph
        content = path.read_bytes()
    config = classifier_config(MODEL_NAME, info.input_size[0], len(info.class_names), MAX_BATCH)
    return publish(
        repository,
        MODEL_NAME,
        files={"model.onnx": content},
        shared={"config.pbtxt": to_text(config), LABELS_FILE: "\n".join(info.class_names) + "\n"},
        facts={
            "source": {
                "run_id": info.run_id,
                "git_commit": info.git_commit,
                "architecture": info.architecture,
                "checkpoint": str(checkpoint),
                "weights_sha256": hashlib.sha256((checkpoint / "weights.safetensors").read_bytes()).hexdigest(),
            },
            "data": info.data,
            "opset": OPSET,
            "ir_version": IR_VERSION,
            "precision": "fp32",
            "inputs": [_describe(value) for value in graph.input],
            "outputs": [_describe(value) for value in graph.output],
            "parity": parity.as_dict() | {"real_samples": len(samples)},
            "metrics": info.metrics,
        },
    )


def _describe(value: onnx.ValueInfoProto) -> dict[str, object]:
    tensor = value.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return {"name": value.name, "datatype": DATATYPES[tensor.elem_type], "shape": shape}
