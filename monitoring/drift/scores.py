"""Compares a window of traffic with a reference: a score for each feature, and whether it has drifted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.gate.statistics import holm
from monitoring.drift.features import FEATURES, NO_NAMES, OF_SCENES, Edges, describe_group
from monitoring.drift.limits import FLOOR, DriftLimits
from monitoring.drift.statistics import Counts, design_effect, group_buckets, grouped, p_value, psi


@dataclass(frozen=True)
class Baseline:
    """A feature of a reference, prepared for comparisons."""

    groups: npt.NDArray[np.int64]  # int64 [buckets], the group of each bucket
    counts: Counts  # of the reference, [groups]
    effect: float  # design effect of its scenes; see `design_effect`


@dataclass(frozen=True)
class Score:
    """The result for one feature."""

    feature: str  # one of FEATURES
    samples: float  # number of scenes or signs in the window
    psi: float | None = None  # population stability index; None without enough samples
    p_value: float | None = None  # corrected for the number of features (Holm); None without enough samples
    is_firing: bool = False  # the feature has drifted
    note: str = ""  # the group that grew most, or why there is no score


def make_baselines(clusters: Mapping[str, Counts]) -> dict[str, Baseline]:
    """Prepares a reference; `clusters` has its counts [scenes, buckets] of each feature, see `count_by_scene`."""
    baselines = {}
    for feature, counts in clusters.items():
        groups = group_buckets(counts.sum(axis=0))
        joined = grouped(counts, groups)
        baselines[feature] = Baseline(groups, joined.sum(axis=0), design_effect(joined))
    return baselines


def score_features(
    baselines: Mapping[str, Baseline],
    window: Mapping[str, Counts],
    edges: Mapping[str, Edges],
    limits: DriftLimits,
    class_names: Mapping[int, str] = NO_NAMES,
) -> list[Score]:
    """Compares a window with a reference; returns a score for each feature of the window, in the order of FEATURES.

    `window` has the counts [buckets] of each feature that could be read, in the buckets of the baselines; `edges` are
    those of the histograms, for the notes, like the class names.
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


def _unfit(feature: str, baseline: Baseline, window: Counts, limits: DriftLimits) -> str:
    """Returns why a feature has no score; empty if there are enough samples."""
    things = "scenes" if feature in OF_SCENES else "signs"
    if baseline.counts.sum() < FLOOR:
        return f"the reference has {baseline.counts.sum():.0f} {things}, and {FLOOR} are needed"
    if window.sum() < limits.floor * limits.repeats:
        return f"{window.sum():.0f} {things}, and {limits.floor * limits.repeats:.0f} are needed"
    return ""


def _chance(baseline: Baseline, window: Counts, repeats: float) -> float:
    # Signs of one scene are similar, so they count as fewer independent ones; see `design_effect`.
    return p_value(baseline.counts / baseline.effect, window / (baseline.effect * repeats))


def _most_grown(
    feature: str, baseline: Baseline, window: Counts, edges: Edges | None, class_names: Mapping[int, str]
) -> str:
    before, after = baseline.counts / baseline.counts.sum(), window / window.sum()
    group = int(np.argmax(after - before))
    members = np.flatnonzero(baseline.groups == group)
    return f"{describe_group(feature, edges, members, class_names)}: {before[group]:.0%} before, {after[group]:.0%} now"
