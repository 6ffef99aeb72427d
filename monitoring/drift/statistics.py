"""How far apart two samples of shares are, and whether chance can explain it. Knows nothing of signs."""

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc  # the tail of chi-squared, without the overhead of scipy.stats
from scipy.stats import fisher_exact

from monitoring.drift.limits import LEAST_EXPECTED, SHARE

Counts = npt.NDArray[np.float64]

PRIOR = 0.5  # is added to each count, so that an empty group has a logarithm; Krichevsky and Trofimov, 1981


def group_buckets(counts: Counts) -> npt.NDArray[np.int64]:
    """Joins neighbouring buckets until each group holds a tenth of the reference.

    A tenth of 50 is the least that the tests below want in a group, and what is outside of all that the reference has
    seen falls into the group at that end. Where all but less than a tenth lies in one bucket, that one is a group and
    all others are the second.

    Args:
        counts: of the reference, [buckets].

    Returns:
        int64 [buckets], the group of each bucket, from 0 on.
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
    """Adds up the buckets of each group: [..., buckets] to [..., groups]."""
    return np.stack([counts[..., groups == group].sum(axis=-1) for group in range(int(groups.max()) + 1)], axis=-1)


def design_effect(clusters: Counts) -> float:
    """Returns how many times more the shares vary than if every sign stood in a scene of its own; at least 1.

    The mean design effect of J. N. K. Rao and A. J. Scott, "The analysis of categorical data from complex sample
    surveys", JASA 76 (1981): the sum of (1 - p) d over the groups, divided by their number less one, where d is the
    variance of the share p as a ratio of sums over clusters, relative to p (1 - p) / n.

    Args:
        clusters: counts of each scene, [scenes, groups].
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

    N. Siddiqi, "Credit Risk Scorecards", 2006. Customary reading: below 0.1 nothing, above 0.25 a major change. It is
    the symmetrised Kullback-Leibler divergence, and large by chance alone in small samples: never read it without
    the test.

    Args:
        reference: counts, [groups].
        window: counts, [groups].
    """
    p, q = ((each + PRIOR) / (each + PRIOR).sum() for each in (reference, window))
    return float(((q - p) * np.log(q / p)).sum())


def p_value(reference: Counts, window: Counts) -> float:
    """Returns how likely two samples of one population are at least this far apart.

    Pearson's chi-squared test of two samples, so that the reference counts as the sample that it is. Of two groups, of
    which one may be nearly empty, Fisher's exact test where the former cannot be trusted.

    Args:
        reference: counts of independent observations, [groups].
        window: likewise.
    """
    table = np.stack([reference, window])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if len(reference) == 2 and expected.min() < LEAST_EXPECTED:
        return float(fisher_exact(np.rint(table).astype(np.int64)).pvalue)
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))
