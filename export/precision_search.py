"""A network in several precisions: makes, checks and times them, and chooses the best."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.arrays import Images
from export.conversion import PRECISION, write_model
from export.errors import ExportError
from export.fp16 import require_range, to_fp16
from export.precision import FP16, FP32, INT8
from export.proof import Proof, Proven
from export.quantization import quantize
from export.samples import Labels
from export.speed import Speed, measure_speeds
from traffic_signs.progress import ProgressCallback, silent

WORTHWHILE = 1.1  # times the speed of fp32, below which rounding does not pay
NO_LABELS = "int8 is calibrated on training images and evaluated on labelled test images: give them with --data"


@dataclass(frozen=True)
class Candidate:
    """A network in one precision."""

    precision: str
    path: Path
    nodes: int = 0
    size: int = 0  # of the file in bytes
    proven: Proven | None = None  # its parity and accuracy; None if there is a problem
    problem: str = ""  # why it may not be published; empty if it may
    speed: Speed | None = None  # on this machine, if it was measured

    def as_dict(self) -> dict[str, Any]:
        """Returns its figures for JSON."""
        proven = self.proven
        return {
            "precision": self.precision,
            "nodes": self.nodes,
            "size": self.size,
            "parity": asdict(proven.parity) if proven else None,
            "accuracy": proven.accuracy.as_dict() if proven and proven.accuracy else None,
            "speed": asdict(self.speed) if self.speed else None,
            "problem": self.problem,
        }


def make_candidate(
    fp32: Path, precision: str, proof: Proof, images: Images, labels: Labels | None, int8_for: str
) -> Candidate:
    """Converts a network to a precision, one of `export.precision.TOLERANCES`, and checks it.

    Args:
        fp32: the converted network; the candidate is written beside it.
        images: uint8 [n, height, width, 3], on which half precision must not overflow.
        labels: with the images that calibrate int8; other precisions need none.
        int8_for: the target of int8, one of `export.quantization.TARGETS`.

    Raises:
        ExportError: the network cannot be converted, or fails a check in this precision.
    """
    path = fp32
    if precision != FP32:
        path = fp32.with_name(f"{precision}.onnx")
        model = onnx.load(fp32)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        if precision == FP16:
            require_range(model, images)
            lower = to_fp16(model)
        else:
            if labels is None:
                raise ExportError(NO_LABELS)
            lower = quantize(model, labels.calibration, int8_for)
        write_model(lower, path, metadata | {PRECISION: precision})
    proven = proof.check(path, precision)
    return Candidate(precision, path, len(onnx.load(path).graph.node), path.stat().st_size, proven)


def make_all(make: Callable[[str], Candidate], fp32: Path) -> list[Candidate]:
    """Returns a network in all precisions; an ExportError of `make`, but for fp32, is in the candidate's `problem`."""
    candidates = [make(FP32)]
    for precision in (FP16, INT8):
        try:
            candidates.append(make(precision))
        except ExportError as error:
            candidates.append(Candidate(precision, fp32, problem=str(error)))
    return candidates


def timed(
    candidates: Sequence[Candidate], images: Images, count: int, progress: ProgressCallback = silent
) -> list[Candidate]:
    """Returns the candidates, fp32 first, with the speed of those without a problem.

    Args:
        images: uint8 [n, height, width, 3].
        count: size of the batch.
    """
    batch = np.resize(images, (count, *images.shape[1:]))
    sound = {each.precision: each.path for each in candidates if not each.problem}
    speeds = measure_speeds(sound, batch, progress=progress)
    return [replace(each, speed=speeds.get(each.precision)) for each in candidates]


def fastest(candidates: Sequence[Candidate]) -> Candidate:
    """Returns the fastest candidate: fp32 unless another is faster by a tenth, and in every round.

    On a busy machine the median of a few rounds alone is noise.
    """

    def worth(candidate: Candidate) -> float:
        if candidate.problem or candidate.speed is None:
            return 0.0
        if candidate.precision == FP32:
            return WORTHWHILE
        return candidate.speed.ratio if candidate.speed.worst_ratio > 1 else 0.0

    return max(candidates, key=worth)
