"""One network in several precisions: made, proven, timed, and the best of them chosen."""

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
from export.precision import FP16, FP32, PRECISIONS
from export.proof import Proof, Proven
from export.quantization import quantize
from export.samples import Labels
from export.speed import Speed, measure_speeds
from traffic_signs.progress import ProgressCallback, silent

WORTHWHILE = 1.1  # times the speed of fp32; for less nobody wants to round
NO_LABELS = "int8 is calibrated on training images and evaluated on labelled test images: give them with --data"


@dataclass(frozen=True)
class Candidate:
    """A network in one precision.

    Attributes:
        size: of the file in bytes.
        proven: what was found of it; None where something is wrong.
        problem: what is wrong with it; empty where it may be published.
        speed: on this machine, where it was measured.
    """

    precision: str
    path: Path
    nodes: int = 0
    size: int = 0
    proven: Proven | None = None
    problem: str = ""
    speed: Speed | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns its figures in types that JSON has."""
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
    """Brings a network into a precision and proves it.

    Args:
        fp32: the network as it was converted; the candidate comes to lie beside it.
        images: uint8 [n, height, width, 3], among which half precision must not overflow.
        labels: with the images to calibrate int8 with; other precisions need none.
        int8_for: who int8 is for, one of `export.quantization.TARGETS`.

    Raises:
        ExportError: the network cannot be brought into this precision, or is not what it was in it.
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
    """Returns a network in all precisions; what is wrong with one stands in its `problem`.

    Args:
        make: returns the candidate of a precision, or raises ExportError.

    Raises:
        ExportError: already in fp32 something is wrong with it.
    """
    candidates = [make(FP32)]
    for precision in PRECISIONS:
        if precision == FP32:
            continue
        try:
            candidates.append(make(precision))
        except ExportError as error:
            candidates.append(Candidate(precision, fp32, problem=str(error)))
    return candidates


def timed(
    candidates: Sequence[Candidate], images: Images, count: int, progress: ProgressCallback = silent
) -> list[Candidate]:
    """Returns the candidates with the speed of those that may be published.

    Args:
        candidates: fp32 first.
        images: uint8 [n, height, width, 3], what to run them on.
        count: images at once.
    """
    batch = np.resize(images, (count, *images.shape[1:]))
    sound = {each.precision: each.path for each in candidates if not each.problem}
    speeds = measure_speeds(sound, batch, progress=progress)
    return [replace(each, speed=speeds.get(each.precision)) for each in candidates]


def fastest(candidates: Sequence[Candidate]) -> Candidate:
    """Returns the fastest of the candidates, fp32 where none is faster by a tenth, and faster in every round.

    On a busy machine the median of a few rounds alone is a toss.
    """
    return max(candidates, key=_worth)


def _worth(candidate: Candidate) -> float:
    if candidate.problem or candidate.speed is None:
        return 0.0
    if candidate.precision == FP32:
        return WORTHWHILE
    return candidate.speed.ratio if candidate.speed.worst_ratio > 1 else 0.0
