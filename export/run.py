"""Exports a checkpoint: converts it, lowers the precision, checks parity, publishes the version."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
from tritonclient.grpc import model_config_pb2 as pb

from export.arrays import Images
from export.config import to_text, warm_up_path
from export.conversion import IR_VERSION, OPSET, convert
from export.errors import AccuracyError, ExportError, ParityError, RepositoryError
from export.gpu_file import prove_gpu_file
from export.kinds import find_kind
from export.parity import probe_images
from export.precision import AUTO, FP32, INT8, PRECISIONS
from export.precision_search import NO_LABELS, Candidate, fastest, make_all, make_candidate, timed
from export.predictor import TorchPredictor
from export.proof import Proof
from export.quantization import TARGETS
from export.repository import Manifest, champion, load_manifest, publish, versions
from export.repository.class_names import require_same_class_names
from export.repository.manifest import GPU_FILE, LABELS_FILE, MODEL_FILE
from export.repository.policy import CONFIG
from export.repository.signing import Signer
from export.repository.store import open_store
from export.samples import Labels
from export.serving_plan import choose_serving
from export.settings import PrecisionRequest, ServingOverrides
from traffic_signs.progress import ProgressCallback, silent
from training.checkpoint import CheckpointInfo, load_checkpoint

DATATYPES = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.INT32: "INT32"}


def export_checkpoint(
    checkpoint: Path,
    repository: str | Path,
    samples: Images,
    wanted: PrecisionRequest | None = None,
    labels: Labels | None = None,
    signer: Signer | None = None,
    progress: ProgressCallback = silent,
    chosen_among: Callable[[Sequence[Candidate]], None] = lambda candidates: None,
    *,
    asked: ServingOverrides | None = None,
    other_classes: bool = False,
) -> Manifest:
    """Exports a classifier or detector, checks its parity with PyTorch, and publishes it as a new version.

    Args:
        samples: uint8 [n, height, width, 3], real images of the network's input size for parity, besides random and
            extreme ones; n may be 0.
        wanted: the precision; fp32 for None.
        labels: of the samples; int8 needs them.
        chosen_among: receives all candidates if the fastest precision is wanted.
        asked: how Triton serves it; None as the version that is served now.
        other_classes: publish it even if the champion, or else the newest version, has other class names.

    Raises:
        ExportError: the model cannot be exported, differs from PyTorch, or cannot be published; nothing is published.
        training.errors.CheckpointError: the checkpoint cannot be read.
    """
    wanted = wanted or PrecisionRequest()
    check_wanted(wanted, labels is not None)
    model, info = load_checkpoint(checkpoint)
    if samples.shape[1:] != (*info.input_size, 3):
        raise ExportError(f"samples are {samples.shape[1:]}, the model takes {info.input_size} pixels")
    # First, so that a missing repository or contradicting options are reported at once.
    kind, chosen = find_kind(info.model), choose_serving(repository, info.model, asked)
    if not other_classes:
        store = open_store(repository)
        require_same_class_names(store, info.model, info.class_names, champion(store, info.model))
    configs = chosen.configs(info)
    with tempfile.TemporaryDirectory(prefix="signs-export-") as scratch:
        path = Path(scratch) / MODEL_FILE
        simplification = convert(model, info, path)
        max_loss = kind.max_loss if wanted.max_loss is None else wanted.max_loss
        network = TorchPredictor(model, info)
        proof = Proof(network, samples, labels, max_loss, chosen.max_batch, progress)
        try:
            candidate = _prove(proof, path, samples, wanted, labels, progress, chosen_among)
            on_gpu = prove_gpu_file(proof, path, candidate, chosen.fixed_batches)
        except (ParityError, AccuracyError) as error:
            raise type(error)(f"{error}: nothing was published") from error
        graph = onnx.load(candidate.path).graph
        files = {MODEL_FILE: candidate.path.read_bytes()}
        if on_gpu is not None:
            files[GPU_FILE] = on_gpu.path.read_bytes()
    proven = candidate.proven
    assert proven is not None
    warm_up = kind.draw_samples(network.size, 1).tobytes()
    return publish(
        repository,
        info.model,
        files=files | {warm_up_path(configs[CONFIG]): warm_up},
        shared=_shared_files(info, configs),
        facts={
            "source": {
                "run_id": info.run_id,
                "git_commit": info.git_commit,
                "architecture": info.architecture,
                "checkpoint": str(checkpoint),
                "weights_sha256": hash_weights(checkpoint),
            },
            "data": info.data,
            "opset": OPSET,
            "ir_version": IR_VERSION,
            "precision": candidate.precision,
            "graph": asdict(simplification) | {"nodes": candidate.nodes},
            "calibration": _calibration(candidate.precision, wanted, labels),
            "inputs": [_describe(value) for value in graph.input],
            "outputs": [_describe(value) for value in graph.output],
            "parity": proven.parity_figures(candidate.precision),
            "accuracy": proven.accuracy.as_dict() if proven.accuracy else {},
            "gpu": on_gpu.facts if on_gpu else {},
            "metrics": info.metrics,
            "tuning": chosen.tuning,
        },
        signer=signer,
        other_classes=other_classes,
    )


def check_wanted(wanted: PrecisionRequest, labelled: bool) -> None:
    """Raises ExportError for unknown values, missing data and options that would have no effect."""
    if wanted.precision not in (*PRECISIONS, AUTO):
        raise ExportError(f"{wanted.precision!r} is no precision: choose {', '.join(PRECISIONS)} or {AUTO}")
    if wanted.int8_for not in TARGETS:
        raise ExportError(f"int8 cannot be for {wanted.int8_for!r}: choose {' or '.join(TARGETS)}")
    if wanted.max_loss is not None and not 0 <= wanted.max_loss <= 1:
        raise ExportError(f"the largest loss of accuracy is {wanted.max_loss:g}: give a share, such as 0.002")
    if wanted.int8_for != PrecisionRequest.int8_for and wanted.precision not in (INT8, AUTO):
        raise ExportError(f"{wanted.precision} is for all targets: leave out --int8-for, or choose int8")
    if wanted.precision == INT8 and not labelled:
        raise ExportError(NO_LABELS)
    if wanted.max_loss is not None and (wanted.precision == FP32 or not labelled):
        raise ExportError("a loss of accuracy is measured in fp16, int8 and auto, on labelled test images of --data")


def find_exported(checkpoint: Path, model: str, repository: str | Path, precision: str) -> Manifest | None:
    """Returns the manifest of the newest version made of a checkpoint, None for none.

    Args:
        precision: of the version; any for AUTO.

    Raises:
        ExportError: the repository or the weights cannot be read.
    """
    weights = hash_weights(checkpoint)
    for number in reversed(versions(repository, model)):
        with suppress(RepositoryError):  # made by hand, or damaged: not of this checkpoint
            manifest = load_manifest(repository, model, number)
            if manifest.source.get("weights_sha256") == weights and precision in (manifest.precision, AUTO):
                return manifest
    return None


def hash_weights(checkpoint: Path) -> str:
    """Returns the sha256 of a checkpoint's weights."""
    return hashlib.sha256((checkpoint / "weights.safetensors").read_bytes()).hexdigest()


def _prove(
    proof: Proof,
    path: Path,
    samples: Images,
    wanted: PrecisionRequest,
    labels: Labels | None,
    progress: ProgressCallback,
    chosen_among: Callable[[Sequence[Candidate]], None],
) -> Candidate:
    """Returns the network in the wanted precision, checked."""
    tried = probe_images(samples[: proof.kind.max_batch], noises=4)

    def make(precision: str) -> Candidate:
        return make_candidate(path, precision, proof, tried, labels, wanted.int8_for)

    if wanted.precision != AUTO:
        return make(wanted.precision)
    candidates = timed(make_all(make, path), tried, proof.kind.timing_batch, progress)
    chosen_among(candidates)
    return fastest(candidates)


def _calibration(precision: str, wanted: PrecisionRequest, labels: Labels | None) -> dict[str, Any]:
    if precision != INT8 or labels is None:
        return {}
    return {"data": labels.data, "split": "train", "samples": len(labels.calibration), "for": wanted.int8_for}


def _shared_files(info: CheckpointInfo, configs: dict[str, pb.ModelConfig]) -> dict[str, str]:
    has_labels = any(output.labelled for output in find_kind(info.model).outputs)
    labels = {LABELS_FILE: "\n".join(info.class_names) + "\n"} if has_labels else {}
    return {path: to_text(config) for path, config in configs.items()} | labels


def _describe(value: onnx.ValueInfoProto) -> dict[str, object]:
    tensor = value.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return {"name": value.name, "datatype": DATATYPES[tensor.elem_type], "shape": shape}
