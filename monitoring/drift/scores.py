"""Judges a window of traffic against a reference: which features have drifted, and which cannot be judged."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.gate.statistics import holm
from monitoring.drift.features import FEATURES, NO_NAMES, OF_SCENES, Edges, describe_group
from monitoring.drift.limits import FLOOR, Limits
from monitoring.drift.statistics import (
    Counts,
    design_effect,
    group_buckets,
    grouped,
    p_value,
    psi,
)


@dataclass(frozen=True)
class Baseline:
    """A feature of a reference, ready to be compared with.

    Attributes:
        groups: int64 [buckets], the group of each bucket.
        counts: of the reference, [groups].
        effect: `design_effect` of its scenes.
    """

    groups: npt.NDArray[np.int64]
    counts: Counts
    effect: float


@dataclass(frozen=True)
class Score:
    """What is said of one feature.

    Attributes:
        feature: one of FEATURES.
        samples: scenes, or signs, of the window.
        psi: population stability index; None where it cannot be judged.
        p_value: corrected for the number of features (Holm), to be compared with alpha; None likewise.
        is_firing: it has drifted.
        note: what there is more of than before, or why it cannot be judged.
    """

    feature: str
    samples: float
    psi: float | None = None
    p_value: float | None = None
    is_firing: bool = False
    note: str = ""


def make_baselines(clusters: Mapping[str, Counts]) -> dict[str, Baseline]:
    """Prepares a reference.

    Args:
        clusters: its counts for each feature, [scenes, buckets]; see `features.count_by_scene`.
    """
    baselines = {}
    for feature, counts in clusters.items():
        groups = group_buckets(counts.sum(axis=0))
        joined = grouped(counts, groups)
        baselines[feature] = Baseline(groups, joined.sum(axis=0), design_effect(joined))
    return baselines


def judge(
    baselines: Mapping[str, Baseline],
    window: Mapping[str, Counts],
    edges: Mapping[str, Edges],
    limits: Limits,
    class_names: Mapping[int, str] = NO_NAMES,
) -> list[Score]:
    """Compares a window with a reference, feature by feature.

    Args:
        baselines: of the reference.
        window: counts of each feature that could be read, [buckets], in the buckets of the baselines.
        edges: of the histograms, to name what grew.
        limits: from when on a difference is drift.
        class_names: by id, to name what grew.

    Returns:
        A score for each feature of the window, in the order of FEATURES.
    """
    features = [feature for feature in FEATURES if feature in window]
    reasons = {feature: _unfit(feature, baselines[feature], window[feature], limits) for feature in features}
    fit = [feature for feature in features if not reasons[feature]]
    counts = {feature: grouped(window[feature], baselines[feature].groups) for feature in fit}
    indices = {feature: psi(baselines[feature].counts, counts[feature]) for feature in fit}
    adjusted = holm([_chance(baselines[feature], counts[feature], limits.repeats) for feature in fit])
    chances = dict(zip(fit, adjusted, strict=True))
    scores = []
    for feature in features:
        samples = float(window[feature].sum())
        if feature not in fit:
            scores.append(Score(feature, samples, note=reasons[feature]))
            continue
        is_firing = chances[feature] < limits.alpha and indices[feature] >= limits.psi
        grown = _most_grown(feature, baselines[feature], counts[feature], edges.get(feature), class_names)
        scores.append(Score(feature, samples, indices[feature], chances[feature], is_firing, grown))
    return scores


def _unfit(feature: str, baseline: Baseline, window: Counts, limits: Limits) -> str:
    """Returns why a feature cannot be judged, empty where it can."""
    things = "scenes" if feature in OF_SCENES else "signs"
    if baseline.counts.sum() < FLOOR:
        return f"the reference has {baseline.counts.sum():.0f} {things}, and {FLOOR} are needed"
    if window.sum() < limits.floor * limits.repeats:
        return f"{window.sum():.0f} {things}, and {limits.floor * limits.repeats:.0f} are needed"
    return ""


def _chance(baseline: Baseline, window: Counts, repeats: float) -> float:
    # Counts that hang together tell as much as fewer that do not; see `design_effect`.
    return p_value(baseline.counts / baseline.effect, window / (baseline.effect * repeats))


def _most_grown(
    feature: str, baseline: Baseline, window: Counts, edges: Edges | None, class_names: Mapping[int, str]
) -> str:
    before, after = baseline.counts / baseline.counts.sum(), window / window.sum()
    group = int(np.argmax(after - before))
    members = np.flatnonzero(baseline.groups == group)
    return f"{describe_group(feature, edges, members, class_names)}: {before[group]:.0%} before, {after[group]:.0%} now"
