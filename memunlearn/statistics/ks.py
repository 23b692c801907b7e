"""How far apart two models' values of the same rows are distributed: Kolmogorov and Smirnov's distance, over clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from memunlearn.statistics.intervals import CONFIDENCE, ROUNDING, cluster_weights, too_few_clusters
from memunlearn.statistics.two_groups import NOTHING, Comparison

# Swapped statistics at a time: the largest array is [swaps at once, distinct values].
NUMBERS_AT_ONCE = 4_000_000
SWAPS = 1999
RESAMPLES = 2000


def ks_distance(
    first: ArrayLike, second: ArrayLike, clusters: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES, swaps: int = SWAPS
) -> Comparison:
    """max over x of |F(x) - G(x)|, F and G the shares of values up to x in first and in second: 0..1.

    first, second: [N], the values that two models give the same rows; clusters: [N] labels. All None where one is NaN.

    The interval is value -+ the 95th percentile, over resamples of whole clusters, of the largest distance between a
    resample's F - G and the sample's, anywhere: the bootstrap of the empirical process (Gine and Zinn 1990), times the root of
    K / (K - 1) for K clusters, which a resample scatters less. It is a band around F - G, so it covers the distance at least as
    often as it should, and begins at 0 where the two are distributed alike. None with fewer than FEWEST_CLUSTERS clusters.

    p_value: whole clusters have their two models swapped by a coin, and p is the share of swaps, the observed one among them,
    whose distance is as large. Exact where the two models could be exchanged in every cluster, whatever the distribution and
    however small the number of clusters. It is no test of sameness: with few clusters a large p stands for anything.

    Raises ValueError unless the three are as long, with at least one row.
    """
    one, other, labels = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64), np.asarray(clusters)
    if one.ndim != 1 or not len(one) or one.shape != other.shape or one.shape != labels.shape:
        raise ValueError(
            f"two lists of values and their clusters must be as long, not {one.shape}, {other.shape}, {labels.shape}"
        )
    if np.isnan(one).any() or np.isnan(other).any():
        return NOTHING
    points = np.unique(np.concatenate([one, other]))
    numbers, sizes = np.unique(labels, return_counts=True)
    apart = np.stack([_counted_up_to(one[labels == k], points) - _counted_up_to(other[labels == k], points) for k in numbers])
    difference = apart.sum(0) / len(one)
    value = float(np.abs(difference).max())
    bootstrap, coins = np.random.default_rng(seed).spawn(2)
    low = high = None
    if not too_few_clusters(len(sizes)):
        weights = cluster_weights(np.zeros(len(sizes), dtype=np.int64), bootstrap, resamples)
        scatter = np.sqrt(len(sizes) / (len(sizes) - 1))
        away = np.concatenate([np.abs(part @ apart / (part @ sizes)[:, None] - difference).max(1) for part in weights])
        reach = float(scatter * np.quantile(away, CONFIDENCE))
        low, high = max(0.0, value - reach), min(1.0, value + reach)
    reached = 0
    at_once = max(1, NUMBERS_AT_ONCE // len(points))
    for start in range(0, swaps, at_once):
        signs = np.where(coins.random((min(at_once, swaps - start), len(sizes))) < 0.5, -1.0, 1.0)
        swapped = np.abs(signs @ apart).max(1) / len(one)
        reached += int((swapped >= value - ROUNDING).sum())
    return Comparison(value, low, high, (1 + reached) / (1 + swaps))


def _counted_up_to(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How many of the values are at most each point."""
    return np.searchsorted(np.sort(values), points, side="right").astype(np.float64)
