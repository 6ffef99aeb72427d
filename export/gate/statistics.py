"""The statistics of the gate: exact if possible, else resampled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from training.detector.detections import Detections

RESAMPLES = 1000
SEED = 0  # of all resampling: the same figures give the same verdict

Weights = npt.NDArray[np.int64] | None  # int64 [scenes], how often each counts; None for once


@dataclass(frozen=True)
class Estimate:
    """A figure of the samples themselves, and its one-sided bounds at the chosen confidence."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Ranked:
    """The detections in all scenes together, in any order."""

    scores: npt.NDArray[np.floating]  # float [n]
    is_right: npt.NDArray[np.bool_]  # bool [n], whether it matches a sign that no surer detection matches
    labels: npt.NDArray[np.int64]  # int64 [n], category ids
    scenes: npt.NDArray[np.int64]  # int64 [n], the position of the scene

    @classmethod
    def of(cls, found: Sequence[Detections], matches: Sequence[npt.NDArray[np.int64]]) -> "Ranked":
        """Joins the detections of each scene; `matches` are those of `DetectionEvaluation`."""
        return cls(
            scores=np.concatenate([scene.scores for scene in found]),
            is_right=np.concatenate(matches) >= 0,
            labels=np.concatenate([scene.labels for scene in found]),
            scenes=np.repeat(np.arange(len(found)), [len(scene.scores) for scene in found]),
        )

    @cached_property
    def by_label(self) -> dict[int, npt.NDArray[np.int64]]:
        """The positions of each label's detections, the surest first."""
        order = np.argsort(-self.scores, kind="stable")
        return {label: order[self.labels[order] == label] for label in np.unique(self.labels).tolist()}


def signs_by_scene(truth: Sequence[Detections], label_count: int) -> npt.NDArray[np.int64]:
    """Returns how many labelled signs there are to find, int64 [scenes, labels]."""
    return np.stack([np.bincount(scene.labels, minlength=label_count) for scene in truth])


def chance_of_loss(lost: int, won: int) -> float:
    """Returns the probability of losing at least `lost` of the disagreements if both are equally good.

    This is McNemar's test (Psychometrika 12, 1947, doi 10.1007/BF02295996), one-sided and exact: of `lost + won`
    images that only one of the two gets right, those of the champion follow a binomial distribution with 1/2. Images on
    which both are right, or both wrong, do not count.

    Args:
        lost: what only the champion gets right.
        won: what only the challenger gets right.
    """
    trials = lost + won
    term = total = math.comb(trials, lost)
    for count in range(lost, trials):
        term = term * (trials - count) // (count + 1)
        total += term
    return total / (1 << trials)


def holm(chances: Sequence[float]) -> list[float]:
    """Adjusts the p-values of several tests, dependent or not, to the error rate of one.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979),
    pages 65 to 70.
    """
    adjusted, highest = [1.0] * len(chances), 0.0
    for rank, position in enumerate(sorted(range(len(chances)), key=lambda each: chances[each])):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[position]))
        adjusted[position] = highest
    return adjusted


def quantile_ratio(
    challenger: npt.NDArray[np.float64], champion: npt.NDArray[np.float64], quantile: float, confidence: float
) -> Estimate:
    """Returns the ratio of a quantile of two series that were measured alternately, with its bounds.

    The bounds come from pairs drawn again in blocks (the moving-block bootstrap; H. R. Künsch, Annals of Statistics 17,
    1989, doi 10.1214/aos/1176347265): a machine that is busy for a while slows neighbouring requests of both.

    Args:
        challenger: float64 [n], in the order of measuring.
        champion: float64 [n], the other half of each pair.
        quantile: 0 to 1.
        confidence: of each bound, 0.5 to 1.
    """
    drawn = _blocks(len(challenger))
    ratios = np.quantile(challenger[drawn], quantile, axis=1) / np.quantile(champion[drawn], quantile, axis=1)
    value = np.quantile(challenger, quantile) / np.quantile(champion, quantile)
    return _estimate(float(value), ratios, confidence)


def quantile(series: npt.NDArray[np.float64], which: float, confidence: float) -> Estimate:
    """Returns a quantile of one series with its bounds, drawn as in `quantile_ratio`."""
    values = np.quantile(series[_blocks(len(series))], which, axis=1)
    return _estimate(float(np.quantile(series, which)), values, confidence)


def mean_average_precision(found: Ranked, signs: npt.NDArray[np.int64], weights: Weights = None) -> float:
    """Returns the mean over the labels of the exact area below precision over recall.

    Args:
        signs: int64 [scenes, labels], how many there are to find.
    Returns:
        NaN if there are no signs.
    """
    counts = np.ones(len(signs), np.int64) if weights is None else weights
    totals = counts @ signs
    areas = []
    for label in np.flatnonzero(totals).tolist():
        mine = found.by_label.get(label, np.empty(0, np.int64))
        weight = counts[found.scenes[mine]]
        hits, detections = (weight * found.is_right[mine]).cumsum(), weight.cumsum()
        envelope = np.maximum.accumulate((hits / np.maximum(detections, 1))[::-1])[::-1]
        areas.append(float((np.diff(hits / totals[label], prepend=0.0) * envelope).sum()))
    return float(np.mean(areas)) if areas else math.nan


def precision_fall(champion: Ranked, challenger: Ranked, signs: npt.NDArray[np.int64], confidence: float) -> Estimate:
    """Returns the fall of the mean average precision, with bounds from scenes drawn again, the same for both.

    Args:
        signs: int64 [scenes, labels], how many there are to find.
        confidence: of each bound, 0.5 to 1.
    """

    def fall(weights: Weights) -> float:
        return mean_average_precision(champion, signs, weights) - mean_average_precision(challenger, signs, weights)

    return _bootstrap_scenes(fall, len(signs), confidence)


def estimate_precision(found: Ranked, signs: npt.NDArray[np.int64], confidence: float) -> Estimate:
    """Returns the mean average precision, with bounds from scenes drawn again.

    Labels whose signs are all found first add nothing to the width, however few signs there are.

    Args:
        signs: int64 [scenes, labels], how many there are to find; the labels of a zero column do not count.
        confidence: of each bound, 0.5 to 1.
    """
    return _bootstrap_scenes(lambda weights: mean_average_precision(found, signs, weights), len(signs), confidence)


def _bootstrap_scenes(figure: Callable[[Weights], float], scenes: int, confidence: float) -> Estimate:
    """Returns a figure, with bounds from scenes drawn again; `figure` takes how often each scene counts."""
    random = np.random.default_rng(SEED)
    drawn = (np.bincount(random.integers(0, scenes, scenes), minlength=scenes) for _ in range(RESAMPLES))
    figures = np.array([figure(weights) for weights in drawn])
    return _estimate(figure(None), figures[np.isfinite(figures)], confidence)


def _blocks(length: int) -> npt.NDArray[np.int64]:
    """Returns positions of series drawn again, int64 [RESAMPLES, length], in blocks of the root of their length."""
    block = max(1, math.isqrt(length))
    starts = np.random.default_rng(SEED).integers(0, length - block + 1, (RESAMPLES, -(-length // block)))
    positions = (starts[..., None] + np.arange(block)).reshape(RESAMPLES, -1)
    return positions[:, :length]


def _estimate(value: float, resampled: npt.NDArray[np.float64], confidence: float) -> Estimate:
    lower, upper = np.quantile(resampled, (1 - confidence, confidence))
    return Estimate(value, float(lower), float(upper))
