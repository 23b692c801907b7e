"""Means with an interval that knows near-duplicates are not independent: whole clusters are resampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap

CONFIDENCE = 0.95
# Below so many clusters (of each group, where two are compared) no interval is given and no direction is claimed: no method
# that was tried covers skewed values often enough (tests/statistics/test_coverage.py).
FEWEST_CLUSTERS = 10
# Resamples drawn at a time: the largest array is [RESAMPLES_AT_ONCE, clusters], small for any evaluation.
RESAMPLES_AT_ONCE = 200


def too_few_clusters(clusters: int) -> str | None:
    """Why so many clusters give no interval, in words; None where they are enough."""
    if clusters >= FEWEST_CLUSTERS:
        return None
    return f"{clusters} cluster{'' if clusters == 1 else 's'}, and an interval needs {FEWEST_CLUSTERS}"


def mean_with_interval(
    values: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 2000
) -> tuple[float, tuple[float, float]]:
    """Mean over rows and its 95 % percentile bootstrap interval over clusters: (mean, (low, high)), low <= mean <= high.

    values: [N] numbers; clusters: [N] labels, equal where two rows belong together. A resample draws as many clusters as
    there are, with replacement, each with all of its rows (the cluster bootstrap of Davison and Hinkley 1997, section 3.8).
    The interval is (mean, mean) where there is one cluster, and where the mean is not finite.

    Raises ValueError if there are no rows, or values and clusters differ in shape.
    """
    rows = np.asarray(values, dtype=np.float64)
    labels = np.asarray(clusters)
    if rows.ndim != 1 or rows.shape != labels.shape or not len(rows):
        raise ValueError(
            f"values and clusters must be two equally long lists of at least one row, not {rows.shape} and {labels.shape}"
        )

    _, cluster_of_row = np.unique(labels, return_inverse=True)
    sizes = np.bincount(cluster_of_row).astype(np.float64)
    sums = np.bincount(cluster_of_row, weights=rows)
    mean = float(_mean_of_clusters(sums, sizes))
    if len(sizes) == 1 or not np.isfinite(mean):
        return mean, (mean, mean)

    interval = bootstrap(
        (sums, sizes),
        _mean_of_clusters,
        n_resamples=resamples,
        batch=RESAMPLES_AT_ONCE,
        vectorized=True,
        paired=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    # Rounding alone can put the mean of constant rows an ulp outside its own resamples.
    return mean, (min(float(interval.low), mean), max(float(interval.high), mean))


def _mean_of_clusters(sums: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
    return sums.sum(axis) / sizes.sum(axis)
