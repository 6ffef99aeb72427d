"""Exports a checkpoint: converts it, lowers the precision, checks parity, publishes the version."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.arrays import Images
from export.config import describe_tensors, to_text, warm_up_path
from export.conversion import IR_VERSION, OPSET, convert
from export.errors import AccuracyError, ExportError, ParityError, RepositoryError
from export.gpu_file import prove_gpu_file
from export.kinds import find_kind
from export.parity import probe_images
from export.precision import AUTO, FP32, INT8
from export.precision_search import NO_LABELS, Candidate, fastest, make_all, make_candidate, timed
from export.predictor import TorchPredictor
from export.proof import Proof
from export.quantization import CPU
from export.repository import Manifest, champion, load_manifest, publish, versions
from export.repository.class_names import require_same_class_names
from export.repository.manifest import GPU_FILE, INT8_FILE, LABELS_FILE, MODEL_FILE
from export.repository.policy import CONFIG
from export.repository.signing import Signer
from export.repository.store import open_store
from export.samples import Labels
from export.serving_plan import choose_serving
from export.settings import PrecisionRequest, ServingOverrides
from traffic_signs.progress import ProgressCallback, silent
from training.checkpoint import load_checkpoint

NO_CPUS = (
    "int8 is served on CPUs, and this version is for GPUs alone: leave out --target gpu, or name --int8-for tensorrt"
)


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
    check_wanted(wanted, labels is not None, asked)
    model, info = load_checkpoint(checkpoint)
    if samples.shape[1:] != (*info.input_size, 3):
        raise ExportError(f"samples are {samples.shape[1:]}, the model takes {info.input_size} pixels")
    # First, so that a missing repository or contradicting options are reported at once.
    kind, chosen = find_kind(info.model), choose_serving(repository, info.model, asked)
    if not other_classes:
        store = open_store(repository)
        require_same_class_names(store, info.model, info.class_names, champion(store, info.model))
    int8_on_cpus = wanted.int8_for == CPU
    no_int8 = NO_CPUS if int8_on_cpus and chosen.serving.target == "gpu" else ""
    if no_int8 and wanted.precision == INT8:
        raise ExportError(no_int8)
    with tempfile.TemporaryDirectory(prefix="signs-export-") as scratch:
        path = Path(scratch) / MODEL_FILE
        simplification = convert(model, info, path)
        max_loss = kind.max_loss if wanted.max_loss is None else wanted.max_loss
        network = TorchPredictor(model, info)
        proof = Proof(network, samples, labels, max_loss, chosen.max_batch, progress)
        try:
            tried = probe_images(samples[: kind.max_batch], noises=4)

            def make(precision: str) -> Candidate:
                if precision == INT8 and no_int8:
                    raise ExportError(no_int8)
                return make_candidate(path, precision, proof, tried, labels, wanted.int8_for)

            if wanted.precision == AUTO:
                candidates = timed(make_all(make, path), tried, kind.timing_batch, progress)
                chosen_among(candidates)
                candidate = fastest(candidates)
            else:
                both = wanted.precision == INT8 and int8_on_cpus
                candidates = [make(each) for each in ((FP32, INT8) if both else (wanted.precision,))]
                candidate = candidates[-1]
            beside = None
            if candidate.precision == INT8 and int8_on_cpus:  # which file answers depends on the CPU
                candidate, beside = candidates[0], candidate
            files, gpu = {MODEL_FILE: candidate.path.read_bytes()}, dict[str, Any]()
            if beside is not None:
                files[INT8_FILE] = beside.path.read_bytes()
            if sizes := chosen.fixed_batches:
                on_gpu, gpu = prove_gpu_file(proof, path, candidate, sizes)
                files[GPU_FILE] = on_gpu.read_bytes()
        except (ParityError, AccuracyError) as error:
            raise type(error)(f"{error}: nothing was published") from error
    configs = chosen.configs(info, int8=beside is not None)
    config, proven = configs[CONFIG], candidate.proven
    assert proven is not None
    files[warm_up_path(config)] = kind.draw_samples(network.size, 1).tobytes()
    shared = {path: to_text(each) for path, each in configs.items()}
    if any(output.labelled for output in kind.outputs):
        shared[LABELS_FILE] = "\n".join(info.class_names) + "\n"
    return publish(
        repository,
        info.model,
        files=files,
        shared=shared,
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
            "calibration": _calibration(beside or candidate, wanted, labels),
            "inputs": describe_tensors(config.input),
            "outputs": describe_tensors(config.output),
            "parity": proven.parity_figures(candidate.precision),
            "accuracy": proven.accuracy.as_dict() if proven.accuracy else {},
            "gpu": gpu,
            "int8": _int8_facts(beside) if beside else {},
            "metrics": info.metrics,
            "tuning": chosen.tuning,
        },
        signer=signer,
        other_classes=other_classes,
    )


def check_wanted(wanted: PrecisionRequest, labelled: bool, asked: ServingOverrides | None = None) -> None:
    """Raises ExportError for missing data, and options that contradict or would have no effect."""
    if wanted.int8_for != PrecisionRequest.int8_for and wanted.precision not in (INT8, AUTO):
        raise ExportError(f"{wanted.precision} is for all targets: leave out --int8-for, or choose int8")
    if wanted.precision == INT8 and wanted.int8_for == CPU and asked is not None and asked.target == "gpu":
        raise ExportError(NO_CPUS)
    if wanted.precision == INT8 and not labelled:
        raise ExportError(NO_LABELS)
    if wanted.max_loss is not None and (wanted.precision == FP32 or not labelled):
        raise ExportError("a loss of accuracy is measured in fp16, int8 and auto, on labelled test images of --data")


def find_exported(checkpoint: Path, model: str, repository: str | Path, precision: str) -> Manifest | None:
    """Returns the manifest of the newest version made of a checkpoint, None for none; any precision will do for AUTO.

    A version with an int8 file beside the usual one has both precisions.

    Raises:
        ExportError: the repository or the weights cannot be read.
    """
    weights = hash_weights(checkpoint)
    for number in reversed(versions(repository, model)):
        with suppress(RepositoryError):  # made by hand, or damaged: not of this checkpoint
            manifest = load_manifest(repository, model, number)
            has = (manifest.precision, manifest.int8.get("precision"), AUTO)
            if manifest.source.get("weights_sha256") == weights and precision in has:
                return manifest
    return None


def hash_weights(checkpoint: Path) -> str:
    """Returns the sha256 of a checkpoint's weights."""
    return hashlib.sha256((checkpoint / "weights.safetensors").read_bytes()).hexdigest()


def _int8_facts(candidate: Candidate) -> dict[str, Any]:
    """Returns the entry `int8` of the manifest."""
    proven = candidate.proven
    assert proven is not None and proven.accuracy is not None
    parity, accuracy = proven.parity_figures(INT8), proven.accuracy.as_dict()
    return {"file": INT8_FILE, "precision": INT8, "parity": parity, "accuracy": accuracy}


def _calibration(candidate: Candidate, wanted: PrecisionRequest, labels: Labels | None) -> dict[str, Any]:
    if candidate.precision != INT8 or labels is None:
        return {}
    return {"data": labels.data, "split": "train", "samples": len(labels.calibration), "for": wanted.int8_for}
