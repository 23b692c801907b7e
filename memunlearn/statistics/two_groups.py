"""Two groups of rows compared: the difference of their means, and how well a score tells them apart.

Whole clusters are resampled, each among those of its kind (all of its rows in the first group, all in the second, both): so no
resample lacks a group. Where a group's rows lie in fewer than two clusters there is no interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import permutation_test

from memunlearn.statistics.estimates import cluster_weights, number_or_none
from memunlearn.statistics.intervals import CONFIDENCE, RESAMPLES_AT_ONCE

# All relabellings of the clusters where there are no more than this, else as many drawn at random.
PERMUTATIONS = 9999
# Below this share of its size, a deviation or a standard error is rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Comparison:
    """value: what is compared; low, high: its 95 % interval. p_value: two-sided. None for what is not there."""

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None = None

    def numbers(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "p_value": self.p_value}


NOTHING = Comparison(None, None, None)


def mean_difference(
    values: ArrayLike, first: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 2000
) -> Comparison:
    """Mean of the first group minus mean of the second, both over rows; rows whose value is NaN are left out.

    values: [N]; first: [N] bool, the rest is the second group; clusters: [N] labels. p_value: clusters, with all of their rows,
    are given to the groups anew, as many to each as before; clusters with rows of both stay as they are. Compared is the
    difference over its cluster-robust standard error (Chung and Romano 2013), which keeps the level where the clusters of one
    group scatter more. None without two clusters of each. All None where a group is empty.
    """
    rows, is_first, labels = np.asarray(values, dtype=np.float64), np.asarray(first, dtype=bool), np.asarray(clusters)
    there = ~np.isnan(rows)
    rows, is_first, labels = rows[there], is_first[there], labels[there]
    if not is_first.any() or is_first.all():
        return NOTHING
    distinct, of_row = np.unique(labels, return_inverse=True)
    sums, sizes = np.zeros((2, 2, len(distinct)))
    for group, member in enumerate((is_first, ~is_first)):
        sums[group] = np.bincount(of_row[member], rows[member], len(distinct))
        sizes[group] = np.bincount(of_row[member], minlength=len(distinct))
    value = float(sums[0].sum() / sizes[0].sum() - sums[1].sum() / sizes[1].sum())
    low = high = None
    if ((sizes > 0).sum(1) > 1).all():
        draws = cluster_weights(_kinds(sizes), np.random.default_rng(seed), resamples)
        differences = np.concatenate([w @ sums[0] / (w @ sizes[0]) - w @ sums[1] / (w @ sizes[1]) for w in draws])
        low, high = _interval(differences, value)
    return Comparison(value, low, high, _permuted(sums, sizes, seed))


def auroc(scores: ArrayLike, first: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 2000) -> Comparison:
    """Probability that a row of the first group scores higher than one of the second, a tie counting half (AUROC).

    scores: [N], finite; first: [N] bool; clusters: [N] labels. All None where a group is empty. No p_value.
    """
    rows, is_first, labels = np.asarray(scores, dtype=np.float64), np.asarray(first, dtype=bool), np.asarray(clusters)
    if not is_first.any() or is_first.all():
        return NOTHING
    distinct, of_row = np.unique(labels, return_inverse=True)
    sizes = np.stack([np.bincount(of_row[member], minlength=len(distinct)) for member in (is_first, ~is_first)])
    order = np.argsort(rows, kind="stable")
    _, starts = np.unique(rows[order], return_index=True)
    sorted_first, sorted_cluster = is_first[order], of_row[order]

    def area(weights: np.ndarray) -> np.ndarray:
        of_rows = weights[:, sorted_cluster]
        positive = np.add.reduceat(of_rows * sorted_first, starts, axis=1)
        negative = np.add.reduceat(of_rows * ~sorted_first, starts, axis=1)
        below = negative.cumsum(1) - negative / 2
        return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))

    value = float(area(np.ones((1, len(distinct))))[0])
    if ((sizes > 0).sum(1) < 2).any():
        return Comparison(value, None, None)
    draws = cluster_weights(_kinds(sizes), np.random.default_rng(seed), resamples)
    return Comparison(value, *_interval(np.concatenate([area(weights) for weights in draws]), value))


def _kinds(sizes: np.ndarray) -> np.ndarray:
    return (sizes[0] > 0) + 2 * (sizes[1] > 0)


def _interval(resampled: np.ndarray, value: float) -> tuple[float | None, float | None]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return number_or_none(min(float(low), value)), number_or_none(max(float(high), value))


def _permuted(sums: np.ndarray, sizes: np.ndarray, seed: int) -> float | None:
    mixed = (sizes > 0).all(0)
    pure = [np.flatnonzero((group > 0) & ~mixed) for group in sizes]
    if min(len(pure[0]), len(pure[1])) < 2:
        return None
    # Around the mean of all rows: what is left where they are equal is rounding, and no difference.
    level = sums.sum() / sizes.sum()
    centred = sums - sizes * level
    centred[np.abs(centred) <= ROUNDING * np.abs(sizes * level)] = 0
    smallest = ROUNDING * np.abs(centred).max() / sizes.sum() or 1.0
    total, size = centred.sum(0), sizes.sum(0)
    number = (sizes > 0).sum(1)

    def studentized(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        means, variance, of_mixed = [], 0.0, []
        for group, members in enumerate((first, second)):
            own_sums, own_sizes = total[members.astype(np.int64)], size[members.astype(np.int64)]
            rows = own_sizes.sum(axis, keepdims=True) + sizes[group, mixed].sum()
            mean = (own_sums.sum(axis, keepdims=True) + centred[group, mixed].sum()) / rows
            scale = np.sqrt(number[group] / (number[group] - 1)) / rows
            variance = variance + np.square((own_sums - own_sizes * mean) * scale).sum(axis)
            of_mixed.append((centred[group, mixed] - sizes[group, mixed] * mean) * scale)
            means.append(mean.squeeze(axis))
        variance = variance + np.square(of_mixed[0] - of_mixed[1]).sum(axis)
        # Sums in another order must not make an equal statistic differ.
        return np.round((means[0] - means[1]) / np.sqrt(variance).clip(min=smallest), 9)

    tested = permutation_test(
        (pure[0], pure[1]),
        studentized,
        permutation_type="independent",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=RESAMPLES_AT_ONCE,
        rng=np.random.default_rng(seed),
    )
    return float(tested.pvalue)
