"""Means with an interval that knows near-duplicates are not independent: clusters are the units, never rows."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from memunlearn.words import counted

Interval = tuple[float, float]
Limits = tuple[float, float]

CONFIDENCE = 0.95
# Below so many clusters (of each group, where two are compared) no interval is given and no direction is claimed: no method
# that was tried covers skewed values often enough (tests/statistics/test_coverage.py).
FEWEST_CLUSTERS = 10
# Resamples drawn at a time: the largest array is [RESAMPLES_AT_ONCE, clusters], small for any evaluation.
RESAMPLES_AT_ONCE = 200
# Means whose resamples are held at a time.
MEANS_AT_ONCE = 256
# The bootstrap's part of an interval: at CONFIDENCE it covers the mean of a lognormal with 10 clusters in .91 of draws.
BOOTSTRAP_CONFIDENCE = 0.98
# Below this share of their size, a difference between values is rounding.
ROUNDING = 1e-9
ANY_NUMBER: Limits = (-np.inf, np.inf)


def too_few_clusters(clusters: int) -> str | None:
    """Why so many clusters give no interval, in words; None where they are enough."""
    if clusters >= FEWEST_CLUSTERS:
        return None
    return f"{counted(clusters, 'cluster')}, and an interval needs {FEWEST_CLUSTERS}"


def mean_with_interval(
    values: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 2000, limits: Limits = ANY_NUMBER
) -> tuple[float, Interval | None]:
    """Mean over rows and its 95 % interval over clusters (`interval_of_means`): (mean, (low, high)), low <= mean <= high.

    values: [N] numbers within limits; clusters: [N] labels, equal where two rows belong together. None for the interval where
    there are fewer than FEWEST_CLUSTERS clusters, where every cluster has the same mean, or where the mean is not finite.

    Raises ValueError if there are no rows, or values and clusters differ in shape.
    """
    sums, sizes = sums_and_sizes(values, clusters)
    mean = float(sums.sum() / sizes.sum())
    if len(sums) < FEWEST_CLUSTERS or not np.isfinite(mean):
        return mean, None
    weights = cluster_weights(np.zeros(len(sums), dtype=np.int64), np.random.default_rng(seed), resamples)
    low, high = interval_of_means(sums[:, None], sizes[:, None], np.concatenate(weights), limits)
    return mean, None if np.isnan(low[0]) else (float(low[0]), float(high[0]))


def interval_of_means(
    sums: np.ndarray, sizes: np.ndarray, weights: np.ndarray, limits: Limits = ANY_NUMBER
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the means `sums.sum(0) / sizes.sum(0)` over clusters: low, high [M]; NaN where there is none.

    sums, sizes: [K, M] sum over a cluster's rows and their number, 0 and 0 where a cluster has none. weights: [B, K] how often
    each cluster is in each resample. limits: what a value can be at all.

    The wider, on either side, of two intervals. Student's t with the variance of the jackknife over clusters, after one more
    cluster has been added that lies at the limit (where that is infinite: at the most extreme cluster of the sample): a share
    of rare large values is not missed because none was drawn, as in Clopper and Pearson's interval of a share. And the
    studentized bootstrap over clusters (Davison and Hinkley 1997, sections 2.4 and 5.2), which follows skewed values.
    """
    found = np.full((2, sums.shape[1]), np.nan)
    number = (sizes > 0).sum(0)
    for start in range(0, sums.shape[1], MEANS_AT_ONCE):
        part = start + np.flatnonzero(number[start : start + MEANS_AT_ONCE] >= FEWEST_CLUSTERS)
        if len(part):
            found[:, part] = _intervals(sums[:, part], sizes[:, part], weights, limits)
    return found[0], found[1]


def cluster_weights(kinds: np.ndarray, draws: np.random.Generator, resamples: int) -> list[np.ndarray]:
    """How often each cluster is in each resample: arrays [<= RESAMPLES_AT_ONCE, clusters] fp64, `resamples` rows in all.

    kinds: [clusters] integers. Clusters are drawn with replacement among those of their kind: each kind keeps its number.
    """
    sizes = [min(RESAMPLES_AT_ONCE, resamples - start) for start in range(0, resamples, RESAMPLES_AT_ONCE)]
    parts = []
    for size in sizes:
        weights = np.zeros((size, len(kinds)))
        for kind in np.unique(kinds):
            of_kind = np.flatnonzero(kinds == kind)
            # Many times faster than a multinomial draw, and the same distribution.
            drawn = draws.integers(len(of_kind), size=(size, len(of_kind))) + len(of_kind) * np.arange(size)[:, None]
            weights[:, of_kind] = np.bincount(drawn.ravel(), minlength=size * len(of_kind)).reshape(size, len(of_kind))
        parts.append(weights)
    return parts


def sums_and_sizes(values: ArrayLike, clusters: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """[K], [K] fp64: the sum over each cluster's rows, and how many they are. Raises ValueError as `mean_with_interval`."""
    rows, labels = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if rows.ndim != 1 or rows.shape != labels.shape or not len(rows):
        raise ValueError(
            f"values and clusters must be two equally long lists of at least one row, not {rows.shape} and {labels.shape}"
        )
    cluster_of_row = np.unique(labels, return_inverse=True)[1]
    return np.bincount(cluster_of_row, weights=rows), np.bincount(cluster_of_row).astype(np.float64)


def _intervals(sums: np.ndarray, sizes: np.ndarray, weights: np.ndarray, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    mean = sums.sum(0) / sizes.sum(0)
    there = sizes > 0
    of_cluster = np.divide(sums, sizes, out=np.broadcast_to(mean, sums.shape).copy(), where=there)
    lowest, highest = of_cluster.min(0), of_cluster.max(0)
    quantile = student.ppf((1 + CONFIDENCE) / 2, there.sum(0) - 1)
    with warnings.catch_warnings():
        # Without a resample whose clusters differ there is nothing for the bootstrap to say.
        warnings.filterwarnings("ignore", message="All-NaN slice")
        from_bootstrap = _studentized_bootstrap(sums, sizes, weights, mean)
    ends = []
    for sign, limit, extreme in ((-1, limits[0], lowest), (1, limits[1], highest)):
        outermost = extreme if np.isinf(limit) else np.full(len(mean), limit)
        shifted, spread = _with_one_more(sums, sizes, outermost)
        ends.append(shifted + sign * quantile * spread)
    low, high = np.fmin(ends[0], from_bootstrap[0]), np.fmax(ends[1], from_bootstrap[1])
    low, high = np.minimum(low, mean).clip(min=limits[0]), np.maximum(high, mean).clip(max=limits[1])
    known = np.isfinite(mean) & (highest - lowest > ROUNDING * np.maximum(np.abs(lowest), np.abs(highest)))
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def _with_one_more(sums: np.ndarray, sizes: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and jackknife standard error with one more cluster, of the size that a row's cluster has on average, at value."""
    size = np.square(sizes).sum(0) / sizes.sum(0)
    sums, sizes = np.vstack([sums, size * value]), np.vstack([sizes, size])
    mean, number = sums.sum(0) / sizes.sum(0), (sizes > 0).sum(0)
    without = (sums.sum(0) - sums) / (sizes.sum(0) - sizes)
    return mean, np.sqrt((number - 1) / number * np.square(without - mean).sum(0))


def _studentized_bootstrap(
    sums: np.ndarray, sizes: np.ndarray, weights: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    residuals = sums - sizes * mean
    spread = np.sqrt(np.square(residuals).sum(0)) / sizes.sum(0)
    of_resample = weights @ sizes
    away = np.divide(weights @ residuals, of_resample, out=np.full(of_resample.shape, np.nan), where=of_resample > 0)
    # The residuals of a resample are those of the sample, less its own mean's distance for every row.
    squares = weights @ np.square(residuals) - 2 * away * (weights @ (residuals * sizes)) + away**2 * (weights @ sizes**2)
    own_spread = np.sqrt(squares.clip(min=0)) / of_resample.clip(min=1)
    differs = own_spread > 1e-6 * spread
    distances = np.divide(away, own_spread, out=np.full(away.shape, np.nan), where=differs)
    tail = 100 * (1 - BOOTSTRAP_CONFIDENCE) / 2
    low, high = np.nanpercentile(distances, [tail, 100 - tail], axis=0)
    return mean - high * spread, mean - low * spread
