"""In which of many cells do two groups differ? Whole clusters are exchanged, and the p-values hold for all cells at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Permuted statistics at a time: the largest array is [permutations at once, cells].
NUMBERS_AT_ONCE = 4_000_000
# Below this share of a cell's spread (of its size), a standard error (a spread) is rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class MaxT:
    """One value a cell: [cells] float64, NaN in cells that hold a value that is not finite.

    difference: mean over the group's clusters minus mean over the rest's, each cluster at its mean. t: that over its standard
    error (Welch). p: two-sided, corrected for all cells (the chance of such a |t| anywhere if the groups did not differ).
    group_clusters, rest_clusters: how many were exchanged.
    """

    difference: np.ndarray
    t: np.ndarray
    p: np.ndarray
    group_clusters: int
    rest_clusters: int


def max_t(values: ArrayLike, in_group: ArrayLike, clusters: ArrayLike, permutations: int = 2000, seed: int = 0) -> MaxT | None:
    """Compares the rows in a group with the rest, cell by cell (the max-T permutation test of Westfall and Young 1993).

    values: [N, cells]; in_group: [N] bool; clusters: [N] labels, equal where two rows belong together. A cluster is one value,
    the mean of its rows: near-duplicates count once, and move whole. Rows of a cluster that are in the group and rows of it
    that are not are two clusters here, which makes the test cautious (what they share cancels in the difference). Welch's t
    keeps the level where the clusters of one group scatter more (Chung and Romano 2013), as single rows do beside large
    clusters. The smallest p is 1 / (permutations + 1). A cell that is the same in every cluster has t 0 and p 1.

    None where the group or the rest has fewer than two clusters. Raises ValueError where shapes do not fit or there is no
    permutation.
    """
    rows = np.asarray(values, dtype=np.float64)
    group = np.asarray(in_group, dtype=bool)
    labels = np.asarray(clusters)
    if rows.ndim != 2 or group.shape != rows.shape[:1] or labels.shape != rows.shape[:1]:
        raise ValueError(
            f"values, in_group and clusters must be [N, cells], [N], [N], not {rows.shape}, {group.shape}, {labels.shape}"
        )
    if permutations < 1:
        raise ValueError(f"{permutations} permutations: a test needs at least one")

    means, unit_in_group = _cluster_means(rows, group, labels)
    members = int(unit_in_group.sum())
    if min(members, len(means) - members) < 2:
        return None
    usable = np.isfinite(rows).all(0)
    standard, spread = _standardized(means[:, usable])
    observed, t = (numbers[0] for numbers in _welch(standard, unit_in_group[None]))

    draw = np.random.default_rng(seed)
    reached = np.zeros(len(t), dtype=np.int64)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, len(t)))
    for start in range(0, permutations, at_once):
        exchanged = draw.permuted(np.tile(unit_in_group, (min(at_once, permutations - start), 1)), axis=1)
        highest = np.abs(_welch(standard, exchanged)[1]).max(1, initial=0)
        # The observed assignment is among the permutations: sums in another order must not make it miss itself.
        reached += (highest[:, None] >= np.abs(t) * (1 - ROUNDING)).sum(0)

    difference, statistic, p = (np.full(rows.shape[1], np.nan) for _ in range(3))
    difference[usable], statistic[usable], p[usable] = observed * spread, t, (1 + reached) / (1 + permutations)
    return MaxT(difference, statistic, p, members, len(means) - members)


def mean_over_clusters(values: ArrayLike, clusters: ArrayLike) -> np.ndarray:
    """[N, cells], [N] labels -> [cells]: what `max_t` compares, each cluster at the mean of its rows. NaN for no rows."""
    rows = np.asarray(values, dtype=np.float64)
    if not len(rows):
        return np.full(rows.shape[1], np.nan)
    return _cluster_means(rows, np.zeros(len(rows), dtype=bool), np.asarray(clusters))[0].mean(0)


def _cluster_means(rows: np.ndarray, group: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([U, cells], [U] bool): the mean of each cluster's rows within a group, and which group that is."""
    cluster_of_row = np.unique(labels, return_inverse=True)[1]
    units, unit_of_row, sizes = np.unique(2 * cluster_of_row + group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(units), rows.shape[1]))
    np.add.at(sums, unit_of_row, rows)
    return sums / sizes[:, None], units % 2 == 1


def _standardized(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each cell with mean 0 and spread 1 over clusters, and its spread; a cell that is constant but for rounding is 0."""
    spread = means.std(0)
    constant = spread <= ROUNDING * np.abs(means).max(0, initial=0)
    return np.where(constant, 0, (means - means.mean(0)) / np.where(constant, 1, spread)), np.where(constant, 0, spread)


def _welch(standard: np.ndarray, in_group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences and t statistics [B, cells] of B assignments [B, U] of clusters to the group."""
    squares = np.square(standard)
    means, variances = [], []
    for side in (in_group.astype(np.float64), (~in_group).astype(np.float64)):
        count = side.sum(1, keepdims=True)
        mean = side @ standard / count
        means.append(mean)
        variances.append((side @ squares - count * np.square(mean)).clip(min=0) / (count - 1) / count)
    difference = means[0] - means[1]
    # With few clusters both sides can be constant: a perfect separation, finite here so that it can be compared and written.
    return difference, difference / np.sqrt(variances[0] + variances[1]).clip(min=ROUNDING)
