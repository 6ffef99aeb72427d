"""Makes the file for GPUs beside a version's file for CPUs, and proves it as that one was proven."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from export.arrays import Images
from export.conversion import PRECISION, write_model
from export.fixed_batch import fix_batch, share_weights
from export.parity import batch_sizes, noises_for, predict_in_batches, probe_images
from export.precision import FP32, INT8, TOLERANCES
from export.precision_search import Candidate
from export.predictor import OnnxPredictor
from export.proof import Proof, Proven
from export.repository.manifest import GPU_FILE, MODEL_FILE, Manifest


@dataclass(frozen=True)
class GpuFile:
    """A file for GPUs.

    Attributes:
        path: of it, beside the file for CPUs, without which it lacks its weights.
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
        folder: to write it to, in which the file for CPUs is.
        sizes: fixed batches, smallest first.

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
        manifest: of the version that the file for CPUs is of.
        samples: uint8 [n, height, width, 3], real images besides random and extreme ones; a drawn one where None.

    Returns:
        What the manifest says of the file for GPUs.

    Raises:
        ExportError: they answer differently.
    """
    cpu, gpu = (OnnxPredictor(folder / name, max_batch=sizes[-1]) for name in (MODEL_FILE, GPU_FILE))
    kind, tolerance = cpu.kind, TOLERANCES[manifest.precision]
    samples = kind.draw_samples(cpu.size, 1) if samples is None else samples
    real, tried = len(samples), batch_sizes(sizes[-1], kind.few)
    images = probe_images(samples, noises_for(tried, real, fewest=2))
    answers = [predict_in_batches(each, images, tried) for each in (cpu, gpu)]
    figures = asdict(kind.require_parity(answers[0], answers[1], real, tolerance))
    return {
        "file": GPU_FILE,
        "fixed_batches": list(sizes),
        "precision": manifest.precision,
        "parity": figures | {"real_samples": real, "tolerance": tolerance.difference},
        "compared_with": MODEL_FILE,
    }
