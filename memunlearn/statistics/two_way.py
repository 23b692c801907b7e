"""Rows that stand once in each of several trials: trials and rows are crossed, and both are units.

A row that is measured in twenty trials is no twenty rows, and what one trial does to all rows is one thing that it does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from memunlearn.statistics.intervals import (
    ANY_NUMBER,
    FEWEST_CLUSTERS,
    ROUNDING,
    Interval,
    Limits,
    mean_with_interval,
    too_few_clusters,
)
from memunlearn.statistics.proportions import clustered_share
from memunlearn.words import counted

OneWay = Callable[[np.ndarray], Interval | None]


def mean_over_units(
    values: ArrayLike, clusters: ArrayLike, trials: ArrayLike | None = None, seed: int = 0, limits: Limits = ANY_NUMBER
) -> tuple[float, Interval | None]:
    """`mean_with_interval`, over the clusters of rows and those of trials where there are trials.

    values: [N]; clusters: [N] labels of the rows; trials: [N] the cluster of the row that each one's trial was about, or None.
    What the interval over clusters alone and that over trials alone reach to either side of the mean is added in squares, as
    variances are. (Unlike Cameron, Gelbach and Miller 2011 nothing is taken off for the noise that both hold: the difference
    can be negative, and costs coverage with few units.) Where a cluster is both, the correlation of what it adds in its two
    roles counts if it is positive. None where either has fewer than FEWEST_CLUSTERS, or neither differs.
    """
    rows = np.asarray(values, dtype=np.float64)
    mean, over_clusters = mean_with_interval(rows, clusters, seed, limits=limits)
    if trials is None:
        return mean, over_clusters
    return mean, _two_way(
        mean,
        rows,
        clusters,
        trials=trials,
        limits=limits,
        one_way=lambda labels: mean_with_interval(rows, labels, seed, limits=limits)[1],
    )


def share_over_units(hits: ArrayLike, clusters: ArrayLike, trials: ArrayLike | None = None) -> tuple[float, Interval | None]:
    """`clustered_share`, over the clusters of rows and those of trials where there are trials, put together as in
    `mean_over_units`. hits: [N] bool."""
    rows = np.asarray(hits, dtype=bool)
    share, over_clusters = clustered_share(rows, clusters)
    if trials is None:
        return share, over_clusters
    return share, _two_way(
        share,
        rows.astype(np.float64),
        clusters,
        trials=trials,
        limits=(0.0, 1.0),
        one_way=lambda labels: clustered_share(rows, labels)[1],
    )


def why_no_interval(values: ArrayLike, clusters: ArrayLike, trials: ArrayLike | None = None) -> str:
    """Why `mean_over_units` gives none, in words."""
    if not np.isfinite(np.asarray(values, dtype=np.float64)).all():
        return "not every value is a finite number"
    few = too_few_clusters(len(np.unique(np.asarray(clusters))))
    if few is None and trials is not None and too_few_clusters(number := len(np.unique(np.asarray(trials)))):
        few = f"trials about {counted(number, 'cluster')}, and an interval needs {FEWEST_CLUSTERS}"
    return few or "the same in every cluster, which says nothing of how much others would differ"


def _two_way(
    mean: float, rows: np.ndarray, clusters: ArrayLike, *, trials: ArrayLike, limits: Limits, one_way: OneWay
) -> Interval | None:
    labels, of_row = np.unique(np.concatenate([np.asarray(clusters), np.asarray(trials)]), return_inverse=True)
    units = np.split(of_row, 2)
    numbers = [len(np.unique(one)) for one in units]
    if too_few_clusters(min(numbers)) or not np.isfinite(mean):
        return None
    if len(np.unique(units[0] * len(labels) + units[1])) == max(numbers):
        # Every cluster of the one lies within one of the other: the larger are the units.
        return one_way(units[int(numbers[1] < numbers[0])])
    over = [one_way(one) for one in units]
    if over == [None, None]:
        return None
    reach = np.array([(0.0, 0.0) if one is None else (mean - one[0], one[1] - mean) for one in over])
    added = [np.bincount(one, rows - mean, len(labels)) for one in units]
    size = np.sqrt(np.prod([one @ one for one in added]))
    together = max(0.0, float(added[0] @ added[1] / size)) if size > ROUNDING else 0.0
    below, above = np.sqrt(np.square(reach).sum(0) + 2 * together * reach.prod(0))
    return max(limits[0], float(mean - below)), min(limits[1], float(mean + above))
