"""Makes the file for GPUs beside a version's file for CPUs, and checks its parity."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from export.conversion import PRECISION, write_model
from export.fixed_batch import fix_batch, share_weights
from export.parity import batch_sizes, noises_for, predict_in_batches, probe_images
from export.precision import FP32, INT8, TOLERANCES
from export.precision_search import Candidate
from export.predictor import OnnxPredictor
from export.proof import Proof
from export.repository.manifest import GPU_FILE, MODEL_FILE, Manifest


def _facts(sizes: tuple[int, ...], precision: str, parity: dict[str, float], **more: str) -> dict[str, Any]:
    return {"file": GPU_FILE, "fixed_batches": list(sizes), "precision": precision, "parity": parity} | more


def prove_gpu_file(
    proof: Proof, fp32: Path, candidate: Candidate, sizes: tuple[int, ...]
) -> tuple[Path, dict[str, Any]]:
    """Makes the file for GPUs of a network and checks its parity on a CPU; returns it, and its entry in the manifest.

    It has the precision and the weights of model.onnx; but if that is int8 for TensorRT, which is no faster on a GPU
    without TensorRT, it is fp32 with its own weights.

    Args:
        fp32: the converted network.
        candidate: the network that is published for CPUs.
        sizes: fixed batches, smallest first.

    Raises:
        ExportError: a convolution has no fixed batch, or the file differs from the trained network.
    """
    # In its own folder, with the names of a version.
    folder = fp32.parent / "gpu"
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(candidate.path.read_bytes())
    source, precision = (fp32, FP32) if candidate.precision == INT8 else (candidate.path, candidate.precision)
    path = write_gpu_file(source, folder, sizes, precision)
    parity = proof.check(path, precision, largest=sizes[-1]).parity_figures(precision)
    return path, _facts(sizes, precision, parity)


def write_gpu_file(source: Path, folder: Path, sizes: tuple[int, ...], precision: str) -> Path:
    """Writes the file for GPUs, with these fixed batches, into the folder of the file for CPUs, and returns its path.

    Raises:
        ExportError: a convolution has no fixed batch, or the file is not valid.
    """
    model = fix_batch(onnx.load(source), sizes)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    write_model(model, folder / GPU_FILE, metadata | {PRECISION: precision})
    # Only now, because the checks of a whole model need its weights.
    share_weights(model, (folder / MODEL_FILE).read_bytes(), MODEL_FILE)
    (folder / GPU_FILE).write_bytes(model.SerializeToString())
    return folder / GPU_FILE


def compare_with_cpu_file(folder: Path, manifest: Manifest, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Compares the file for GPUs with the checked one for CPUs, where the trained network is missing.

    Returns the entry `gpu` of the manifest; raises ExportError if they differ.
    """
    cpu, gpu = (OnnxPredictor(folder / name, max_batch=sizes[-1]) for name in (MODEL_FILE, GPU_FILE))
    kind, tolerance = cpu.kind, TOLERANCES[manifest.precision]
    tried = batch_sizes(sizes[-1], kind.few)
    images = probe_images(kind.draw_samples(cpu.size, 1), noises_for(tried, 1, fewest=2))
    answers = [predict_in_batches(each, images, tried) for each in (cpu, gpu)]
    figures = asdict(kind.require_parity(answers[0], answers[1], 1, tolerance))
    parity = figures | {"real_samples": 1, "tolerance": tolerance.difference}
    return _facts(sizes, manifest.precision, parity, compared_with=MODEL_FILE)
