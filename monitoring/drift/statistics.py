"""Statistics of drift: the distance between two samples of counts, and its p-value."""

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc  # the tail of chi-squared, without the overhead of scipy.stats
from scipy.stats import fisher_exact

from monitoring.drift.limits import LEAST_EXPECTED, SHARE

Counts = npt.NDArray[np.float64]

PRIOR = 0.5  # added to each count, because an empty group has no logarithm; Krichevsky and Trofimov, 1981


def group_buckets(counts: Counts) -> npt.NDArray[np.int64]:
    """Returns the group of each bucket, from 0, int64 [buckets], for the counts of a reference, [buckets].

    Neighbouring buckets are merged until each group has a tenth of the reference. Values beyond the reference fall into
    the group at that end. If one bucket has more than nine tenths, it is a group, and all others are the second one.
    """
    least = SHARE * counts.sum()
    groups = np.zeros(len(counts), np.int64)
    group, held = 0, 0.0
    for bucket, count in enumerate(counts.tolist()):
        groups[bucket] = group
        held += count
        if held >= least and counts[bucket + 1 :].sum() >= least:
            group, held = group + 1, 0.0
    if group == 0:
        groups[int(np.argmax(counts))] = 1
    return groups


def grouped(counts: npt.NDArray[np.float64], groups: npt.NDArray[np.int64]) -> Counts:
    """Sums the buckets of each group: [..., buckets] to [..., groups]."""
    return np.stack([counts[..., groups == group].sum(axis=-1) for group in range(int(groups.max()) + 1)], axis=-1)


def design_effect(clusters: Counts) -> float:
    """Returns how much more the shares vary than if each sign were in its own scene: a factor of at least 1.

    The mean design effect of J. N. K. Rao and A. J. Scott, "The analysis of categorical data from complex sample
    surveys", JASA 76 (1981): the sum of (1 - p) d over the groups, divided by their number less one, where d is the
    variance of the share p as a ratio of sums over clusters, relative to p (1 - p) / n. `clusters` has the counts of
    each scene, [scenes, groups].
    """
    totals = clusters.sum(axis=0)
    n, number = totals.sum(), len(clusters)
    if n == 0 or number < 2:
        return 1.0
    shares = totals / n
    residuals = clusters - clusters.sum(axis=1, keepdims=True) * shares
    variances = number / (number - 1) * (residuals**2).sum(axis=0) / n**2
    there = (shares > 0) & (shares < 1)
    effects = variances[there] / (shares * (1 - shares) / n)[there]
    return max(1.0, float(((1 - shares[there]) * effects).sum() / (len(totals) - 1)))


def psi(reference: Counts, window: Counts) -> float:
    """Returns the population stability index of two samples: the sum of (q - p) ln(q / p) over the groups.

    N. Siddiqi, "Credit Risk Scorecards", 2006. Usual reading: below 0.1 no change, above 0.25 a major one. It is the
    symmetrised Kullback-Leibler divergence. In small samples it is large by chance, so use it only with the test. Both
    arguments are counts, [groups].
    """
    p, q = ((each + PRIOR) / (each + PRIOR).sum() for each in (reference, window))
    return float(((q - p) * np.log(q / p)).sum())


def p_value(reference: Counts, window: Counts) -> float:
    """Returns the p-value of two samples, counts of independent observations [groups], from one population.

    Pearson's chi-squared test of two samples; Fisher's exact test for two groups if one is nearly empty.
    """
    table = np.stack([reference, window])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if len(reference) == 2 and expected.min() < LEAST_EXPECTED:
        return float(fisher_exact(np.rint(table).astype(np.int64)).pvalue)
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))
