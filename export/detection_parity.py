"""Parity of detectors; outputs are those of `training.models.detector.Found`."""

from dataclasses import dataclass

import numpy as np

from export.arrays import Outputs, select
from export.errors import ParityError
from export.parity import EXTREMES, Parity, probe_names
from export.precision import FP32, TOLERANCES, Tolerance
from training.detector.detections import Detections
from training.detector.predict import keep_signs


@dataclass(frozen=True)
class DetectionParity(Parity):
    """Parity of scores, with the largest absolute difference of an edge in pixels."""

    max_box_difference: float


def read_detections(outputs: Outputs) -> list[Detections]:
    """Returns the signs of each scene for an evaluation; labels are category ids."""
    return list(map(keep_signs, outputs["boxes"], outputs["scores"], outputs["categories"]))


def count_signs(outputs: Outputs, tolerance: Tolerance) -> int:
    """Returns how many signs have a score that is compared."""
    return int((outputs["scores"] >= tolerance.floor).sum())


def require_same_signs(
    reference: Outputs, candidate: Outputs, real: int, tolerance: Tolerance = TOLERANCES[FP32]
) -> DetectionParity:
    """Compares two implementations in scenes of `probe_images`, of which the first `real` are real ones.

    Raises:
        ParityError: a score or a box differs by more than the tolerance, or one finds too many signs that the other
            does not; the message says in which scenes.
    """
    scenes = len(reference["scores"])
    plain = len(EXTREMES) if tolerance.invented and scenes > real else 0
    compared = slice(scenes if tolerance.invented else real)
    reference, candidate = select(reference, compared), select(candidate, compared)
    parity, worst = compare_signs(reference, candidate, tolerance, plain)
    signs = count_signs(select(reference, slice(parity.samples - plain)), tolerance)
    names = probe_names(real, scenes)
    if (
        parity.disagreements > tolerance.changed * signs
        or not parity.max_difference <= tolerance.difference
        or not parity.max_box_difference <= tolerance.pixels
    ):
        raise ParityError(
            f"the exported detector differs from the trained one: scores by up to {parity.max_difference:.2g} "
            f"(allowed: {tolerance.difference:g}), boxes by up to {parity.max_box_difference:.2g} pixels (allowed: "
            f"{tolerance.pixels:g}), {parity.disagreements} signs found by one of them only (allowed: "
            f"{tolerance.changed:.1%} of {signs}); the farthest of {parity.samples} scenes are "
            f"{', '.join(names[scene] for scene in worst[:10])}"
        )
    return parity


def compare_signs(
    reference: Outputs, candidate: Outputs, tolerance: Tolerance = TOLERANCES[FP32], plain: int = 0
) -> tuple[DetectionParity, list[int]]:
    """Returns the differences between two implementations, and the scenes beyond the tolerance, the farthest first.

    Rounding decides which of equal neighbouring cells are peaks, and which of equal peaks are among the best. So of the
    last `plain` scenes, in which all cells are alike, only the highest score is compared, and where all peaks have
    scores that are compared, not those that equal the last one within the tolerance.
    """
    same = max(1.0, tolerance.pixels)  # boxes whose edges are this near are of one sign
    scenes = len(reference["scores"])
    largest, edges, lost = np.zeros(scenes), np.zeros(scenes), np.zeros(scenes, np.int64)
    differences: list[float] = []
    for scene in range(scenes):
        pair = [each["scores"][scene] for each in (reference, candidate)]
        if scene >= scenes - plain:
            largest[scene] = abs(pair[0].max() - pair[1].max())
            continue
        last = min(each.min() for each in pair)
        floor = last + tolerance.difference if last >= tolerance.floor else tolerance.floor
        for mine, other in ((reference, candidate), (candidate, reference)):
            for sign in np.flatnonzero(~(mine["scores"][scene] < floor)):  # what is no number counts, too
                apart = np.abs(other["boxes"][scene] - mine["boxes"][scene][sign]).max(axis=1)
                apart[other["categories"][scene] != mine["categories"][scene][sign]] = np.inf
                nearest = int(np.argmin(np.nan_to_num(apart, nan=np.inf)))
                if not apart[nearest] <= same:
                    lost[scene] += 1
                    continue
                edges[scene] = max(edges[scene], apart[nearest])
                differences.append(float(abs(other["scores"][scene][nearest] - mine["scores"][scene][sign])))
                largest[scene] = max(largest[scene], differences[-1])
        # Scores below the floor are made equal. NaN stays NaN.
        faint = float(np.abs(np.subtract(*(np.sort(np.maximum(each, floor)) for each in pair))).max())
        largest[scene] = np.nan if np.isnan(faint) else max(largest[scene], faint)
    excess = lost + np.nan_to_num(largest, nan=np.inf) / tolerance.difference + edges / tolerance.pixels
    beyond = (lost > 0) | ~(largest <= tolerance.difference) | (edges > tolerance.pixels)
    worst = [int(scene) for scene in np.argsort(-excess, kind="stable") if beyond[scene]]
    parity = DetectionParity(
        samples=scenes,
        max_difference=float(largest.max()),
        mean_difference=float(np.mean(differences)) if differences else 0.0,
        disagreements=int(lost.sum()),
        max_box_difference=float(edges.max()),
    )
    return parity, worst
