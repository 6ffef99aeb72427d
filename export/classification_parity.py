"""Parity of classifiers: the probabilities and classes of both networks."""

from collections.abc import Iterable, Sequence

import numpy as np

from export.arrays import Outputs, select
from export.errors import ParityError
from export.parity import Parity, probe_names
from export.precision import FP32, TOLERANCES, Tolerance


def compare_classes(trained: Outputs, exported: Outputs) -> Parity:
    """Returns the differences between two implementations."""
    reference, candidate = trained["probabilities"], exported["probabilities"]
    difference = np.abs(reference.astype(np.float64) - candidate)
    disagreements = int((reference.argmax(axis=1) != candidate.argmax(axis=1)).sum())
    return Parity(len(reference), float(difference.max()), float(difference.mean()), disagreements)


def require_same_classes(
    trained: Outputs, exported: Outputs, real: int, tolerance: Tolerance = TOLERANCES[FP32]
) -> Parity:
    """Compares two implementations within a tolerance; of the first `real` images few classes or none may differ.

    Raises:
        ParityError: a probability is not a number or differs by more than the tolerance, or too many real images are
            classified otherwise; the message says which images.
    """
    reference, candidate = trained["probabilities"], exported["probabilities"]
    if candidate.shape != reference.shape:
        raise ParityError(f"the exported model answers {candidate.shape}, PyTorch {reference.shape}")
    names = probe_names(real, len(reference))
    unknown = np.flatnonzero(~np.isfinite(candidate).all(axis=1))
    if len(unknown):
        raise ParityError(
            f"the exported model answers {len(unknown)} of {len(reference)} images with numbers that are not finite: "
            f"{_some(names, unknown)}"
        )
    compared = len(reference) if tolerance.invented else real
    worst = np.abs(reference[:compared].astype(np.float64) - candidate[:compared]).max(axis=1)
    differ = reference[:real].argmax(axis=1) != candidate[:real].argmax(axis=1)
    far = worst > tolerance.difference
    too_many = int(differ.sum()) > tolerance.changed * real
    bad = sorted({*np.flatnonzero(far), *(np.flatnonzero(differ) if too_many else ())})
    if bad:
        raise ParityError(
            f"the exported model differs from PyTorch on {len(bad)} of {compared} images ({_some(names, bad)}; "
            f"largest difference {worst.max():.2g}, allowed {tolerance.difference:g}; {differ.sum()} of {real} real "
            f"images change their class, allowed {tolerance.changed:.1%})"
        )
    return compare_classes(select(trained, slice(compared)), select(exported, slice(compared)))


def _some(names: Sequence[str], chosen: Iterable[int]) -> str:
    shown = [names[index] for index in chosen]
    return ", ".join(shown[:10]) + (" and others" if len(shown) > 10 else "")
