"""One export from checkpoint to published version: convert, prove, publish."""

import hashlib
import tempfile
from pathlib import Path

import onnx
from torch import nn
from tritonclient.grpc import model_config_pb2 as pb

from export.choices import Asked, choose_serving
from export.config import LABELS_FILE, Serving, classifier_config, detector_config, to_text, warm_up_path
from export.conversion import IR_VERSION, OPSET, convert
from export.detection_parity import onnxruntime_detector, pytorch_detector, require_same_signs
from export.drawings import draw_samples
from export.errors import ExportError
from export.parity import (
    Images,
    Parity,
    onnxruntime_predictor,
    predict_in_batches,
    probe_images,
    pytorch_predictor,
    require_parity,
)
from export.repository import Manifest, publish
from training.checkpoint import CheckpointInfo, load_checkpoint
from training.models import detector

DATATYPES = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.INT32: "INT32"}


def export_checkpoint(
    checkpoint: Path,
    repository: Path,
    samples: Images,
    *,
    asked: Asked | None = None,
) -> Manifest:
    """Exports a network, proves that it answers as in PyTorch, and publishes it as a new version.

    Args:
        checkpoint: folder of the checkpoint, of a classifier or a detector.
        repository: folder of the Triton models.
        samples: uint8 [n, height, width, 3], real images of the network's input size to prove parity on besides
            random and extreme ones; n may be 0.
        asked: how Triton is to serve it; as the version that is served now where it is None.

    Raises:
        ExportError: the model cannot be exported, differs from PyTorch, or cannot be published. Nothing is.
        training.errors.CheckpointError: the checkpoint cannot be read.
    """
    model, info = load_checkpoint(checkpoint)
    if samples.shape[1:] != (*info.input_size, 3):
        raise ExportError(f"samples are {samples.shape[1:]}, the model takes {info.input_size} pixels")
    with tempfile.TemporaryDirectory(prefix="signs-export-") as scratch:
        path = Path(scratch) / "model.onnx"
        convert(model, info, path)
        parity = _prove(info, model, path, samples)
        graph = onnx.load(path).graph
        content = path.read_bytes()
    chosen = choose_serving(repository, info.model, asked)
    config = network_config(info, chosen.serving)
    warm_up = draw_samples(info.model, info.input_size[0], info.input_size[1], 1).tobytes()
    return publish(
        repository,
        info.model,
        files={"model.onnx": content, warm_up_path(config): warm_up},
        shared=_shared_files(info, config),
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
            "tuning": chosen.tuning,
        },
    )


def _prove(info: CheckpointInfo, model: nn.Module, path: Path, samples: Images) -> Parity:
    if info.model == detector.MODEL_NAME:
        return require_same_signs(pytorch_detector(model), onnxruntime_detector(path), samples)
    images = probe_images(samples)
    answers = predict_in_batches(onnxruntime_predictor(path), images)
    return require_parity(pytorch_predictor(model)(images), answers, real=len(samples))


def _shared_files(info: CheckpointInfo, config: pb.ModelConfig) -> dict[str, str]:
    """Returns what lies beside the versions of a model."""
    labels = {} if info.model == detector.MODEL_NAME else {LABELS_FILE: "\n".join(info.class_names) + "\n"}
    return {"config.pbtxt": to_text(config), **labels}


def network_config(info: CheckpointInfo, serving: Serving) -> pb.ModelConfig:
    """Describes the network of a checkpoint to Triton."""
    height, width = info.input_size
    if info.model == detector.MODEL_NAME:
        return detector_config(info.model, (height, width), detector.FOUND, serving)
    return classifier_config(info.model, height, len(info.class_names), serving)


def _describe(value: onnx.ValueInfoProto) -> dict[str, object]:
    tensor = value.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return {"name": value.name, "datatype": DATATYPES[tensor.elem_type], "shape": shape}
