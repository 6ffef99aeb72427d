"""Makes the file for GPUs beside a version's file for CPUs, and proves it as that one was proven."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from export import detection_parity as scenes
from export.conversion import PRECISION, write_model
from export.fixed_batch import fix_batch, share_weights
from export.parity import (
    Images,
    batch_sizes,
    noises_for,
    onnxruntime_predictor,
    predict_in_batches,
    probe_images,
    require_parity,
)
from export.precision import FP32, INT8, TOLERANCES
from export.precision_search import Candidate
from export.proof import Proof, Proven
from export.repository.manifest import GPU_FILE, MODEL_FILE, Manifest
from export.warmup_images import draw_samples
from training.models import detector


@dataclass(frozen=True)
class GpuFile:
    """A file for GPUs.

    Attributes:
        path: of it, beside the file for CPUs, without which it lacks its weights.
        precision: of it.
        proven: what was found of it, on a CPU.
    """

    path: Path
    precision: str
    proven: Proven

    def facts(self, sizes: tuple[int, ...]) -> dict[str, Any]:
        """Returns what the manifest says of it; `sizes` are its fixed batches."""
        return {
            "file": GPU_FILE,
            "fixed_batches": list(sizes),
            "precision": self.precision,
            "parity": self.proven.parity_figures(self.precision),
        }


def prove_gpu_file(proof: Proof, fp32: Path, candidate: Candidate, sizes: tuple[int, ...]) -> GpuFile | None:
    """Makes the file for GPUs of a network and proves it on a CPU; None where there is to be none.

    It has the precision of the file for CPUs, whose weights it takes. Where that is int8, which a GPU calculates no
    faster without TensorRT, it is fp32, with weights of its own.

    Args:
        proof: of the trained network.
        fp32: the network as it was converted.
        candidate: the network as it is published for CPUs.
        sizes: fixed batches, smallest first.

    Raises:
        ExportError: a convolution has no fixed batch, or it answers otherwise than the trained network.
    """
    if not sizes:
        return None
    # In a folder of its own, under the names that both have in a version.
    folder = fp32.parent / "gpu"
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(candidate.path.read_bytes())
    source, precision = (fp32, FP32) if candidate.precision == INT8 else (candidate.path, candidate.precision)
    path = write_gpu_file(source, folder, sizes, precision)
    return GpuFile(path, precision, proof.check(path, precision, largest=sizes[-1]))


def write_gpu_file(source: Path, folder: Path, sizes: tuple[int, ...], precision: str) -> Path:
    """Writes the file for GPUs of a network.

    Args:
        source: ONNX file of the network, in the precision that is wanted.
        folder: to write it to, in which the file for CPUs is.
        sizes: fixed batches, smallest first.
        precision: of the network.

    Returns:
        The path of the file.

    Raises:
        ExportError: a convolution has no fixed batch, or the file is not valid.
    """
    model = fix_batch(onnx.load(source), sizes)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    write_model(model, folder / GPU_FILE, metadata | {PRECISION: precision})
    # Only now: the checks of a whole model want the weights in it.
    share_weights(model, (folder / MODEL_FILE).read_bytes(), MODEL_FILE)
    (folder / GPU_FILE).write_bytes(model.SerializeToString())
    return folder / GPU_FILE


def compare_with_cpu_file(
    folder: Path, manifest: Manifest, sizes: tuple[int, ...], samples: Images | None = None
) -> dict[str, Any]:
    """Compares the file for GPUs with the one for CPUs, which was proven, where the trained network is not at hand.

    Args:
        folder: with both files.
        manifest: of the version that the file for CPUs is of.
        sizes: fixed batches of the file for GPUs.
        samples: uint8 [n, height, width, 3], real images besides random and extreme ones; a drawn one where None.

    Returns:
        What the manifest says of the file for GPUs.

    Raises:
        ExportError: they answer differently.
    """
    (tensor,) = manifest.inputs
    height, width = tensor["shape"][1:3]
    samples = draw_samples(manifest.model, height, width, 1) if samples is None else samples
    real, is_detector = len(samples), manifest.model == detector.MODEL_NAME
    tried = batch_sizes(sizes[-1], scenes.FEW) if is_detector else batch_sizes(sizes[-1])
    images = probe_images(samples, noises_for(tried, real, fewest=2))
    tolerance, cpu, gpu = TOLERANCES[manifest.precision], folder / MODEL_FILE, folder / GPU_FILE
    if is_detector:
        found = [scenes.find_in_batches(scenes.onnxruntime_detector(each), images, sizes=tried) for each in (cpu, gpu)]
        figures = scenes.require_same_signs(found[0], found[1], real, tolerance).as_dict()
    else:
        answers = [predict_in_batches(onnxruntime_predictor(each), images, tried) for each in (cpu, gpu)]
        figures = require_parity(answers[0], answers[1], real, tolerance).as_dict()
    return {
        "file": GPU_FILE,
        "fixed_batches": list(sizes),
        "precision": manifest.precision,
        "parity": figures | {"real_samples": real, "tolerance": tolerance.difference},
        "compared_with": MODEL_FILE,
    }
