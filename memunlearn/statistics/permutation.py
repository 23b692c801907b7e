"""In which of many cells do two groups differ? Whole clusters are exchanged, and the p-values hold for all cells at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from memunlearn.statistics.intervals import ROUNDING, too_few_clusters

# Permuted statistics at a time: the largest array is [permutations at once, cells].
NUMBERS_AT_ONCE = 4_000_000
UNEQUAL_SPREADS = (
    "The test keeps its level where one group scatters more than the other, and where both are skewed alike, but not where "
    "groups are skewed and scatter unequally: a small p can then stand for the unequal spread."
)


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
    that are not are two clusters here, which makes the test cautious (what they share cancels in the difference).

    p is the larger of two: that of exchanging clusters between the groups, which keeps its level where both are distributed
    alike, however skewed; and that of flipping the signs of their distances from the common mean (the wild bootstrap of Liu
    1988 and Mammen 1993, under the null hypothesis), which keeps it where one group scatters more, if each is symmetric. Where
    groups are skewed and scatter unequally it does not keep its level: means of a few skewed values miss in one direction.
    The smallest p is 1 / (permutations + 1). A cell that is the same in every cluster has t 0 and p 1.

    None where the group or the rest has fewer than FEWEST_CLUSTERS clusters. Raises ValueError where shapes do not fit or there
    is no permutation.
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

    sums, sizes, unit_in_group = units_of(rows, group, labels)
    members = int(unit_in_group.sum())
    if too_few_clusters(min(members, len(sizes) - members)):
        return None
    usable = np.isfinite(rows).all(0)
    difference, statistic, p = (np.full(rows.shape[1], np.nan) for _ in range(3))
    difference[usable], statistic[usable], p[usable] = exchanged_and_flipped(
        sums[:, usable] / sizes[:, None], np.ones(len(sizes)), unit_in_group, permutations, seed
    )
    return MaxT(difference, statistic, p, members, len(sizes) - members)


def mean_over_clusters(values: ArrayLike, clusters: ArrayLike) -> np.ndarray:
    """[N, cells], [N] labels -> [cells]: what `max_t` compares, each cluster at the mean of its rows. NaN for no rows."""
    rows = np.asarray(values, dtype=np.float64)
    if not len(rows):
        return np.full(rows.shape[1], np.nan)
    sums, sizes, _ = units_of(rows, np.zeros(len(rows), dtype=bool), np.asarray(clusters))
    means: np.ndarray = (sums / sizes[:, None]).mean(0)
    return means


def units_of(rows: np.ndarray, group: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """([U, cells], [U], [U] bool): the sum of each cluster's rows within a group, their number, and which group that is."""
    cluster_of_row = np.unique(labels, return_inverse=True)[1]
    units, unit_of_row, sizes = np.unique(2 * cluster_of_row + group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(units), rows.shape[1]))
    np.add.at(sums, unit_of_row, rows)
    return sums, sizes.astype(np.float64), units % 2 == 1


def exchanged_and_flipped(
    sums: np.ndarray, sizes: np.ndarray, in_group: np.ndarray, permutations: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[cells] each: difference of the group's mean `sums.sum(0) / sizes.sum()` and the rest's, t, and p as in `max_t`.

    sums: [U, cells]; sizes: [U]; in_group: [U] bool, at least two units on either side.
    """
    centred, spread = _standardized(sums, sizes)
    sides = np.stack([in_group, ~in_group]).astype(np.float64)
    difference, t = (numbers[0] for numbers in _welch(centred, sizes, sides[:, None]))
    distances = centred - sizes[:, None] * _common_mean(centred, sizes, sides)
    exchange, flip = np.random.default_rng(seed).spawn(2)
    reached = np.zeros((2, len(t)), dtype=np.int64)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, len(t)))
    for start in range(0, permutations, at_once):
        count = min(at_once, permutations - start)
        exchanged = exchange.permuted(np.tile(in_group, (count, 1)), axis=1)
        flips = np.where(flip.random((count, len(sizes))) < 0.5, -1.0, 1.0)
        exchanged_t = _welch(centred, sizes, np.stack([exchanged, ~exchanged]).astype(np.float64))[1]
        for place, statistics in enumerate((exchanged_t, _flipped(distances, sizes, sides, flips))):
            highest = np.abs(statistics).max(1, initial=0)
            # The observed assignment is among them: sums in another order must not make it miss itself.
            reached[place] += (highest[:, None] >= np.abs(t) * (1 - ROUNDING)).sum(0)
    return difference * spread, t, (1 + reached.max(0)) / (1 + permutations)


def _standardized(sums: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each cell's sums with mean 0 over rows and spread 1 over clusters' means, and its spread; a cell that is constant but for
    rounding is 0."""
    means = sums / sizes[:, None]
    spread = means.std(0)
    constant = spread <= ROUNDING * np.abs(means).max(0, initial=0)
    centred = sums - sizes[:, None] * (sums.sum(0) / sizes.sum())
    return np.where(constant, 0, centred / np.where(constant, 1, spread)), np.where(constant, 0, spread)


def _welch(sums: np.ndarray, sizes: np.ndarray, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences and t statistics [B, cells] of B assignments of clusters to the sides, [2, B, U] of 0 and 1."""
    first, second = (_mean_and_variance(side @ sums, side @ sums**2, side @ (sums.T * sizes).T, sizes, side) for side in sides)
    return first[0] - second[0], _t(first, second)


def _flipped(distances: np.ndarray, sizes: np.ndarray, sides: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """t statistics [B, cells] where each cluster's distance from the common mean has a sign of `flips`, [B, U]."""
    first, second = (
        _mean_and_variance(
            (flips * side) @ distances,
            side[None] @ distances**2,
            (flips * side) @ (distances.T * sizes).T,
            sizes,
            np.broadcast_to(side, flips.shape),
        )
        for side in sides
    )
    return _t(first, second)


def _mean_and_variance(
    total: np.ndarray, squares: np.ndarray, products: np.ndarray, sizes: np.ndarray, side: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A side's means over rows and their squared cluster-robust standard errors; with sizes of 1, Welch's."""
    rows, number = (side @ sizes)[:, None], side.sum(1)[:, None]
    mean = total / rows
    residual = squares - 2 * mean * products + np.square(mean) * (side @ np.square(sizes))[:, None]
    return mean, residual.clip(min=0) / rows**2 * number / (number - 1)


def _t(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    # With few clusters both sides can be constant: a perfect separation, finite here so that it can be compared and written.
    t: np.ndarray = (first[0] - second[0]) / np.sqrt(first[1] + second[1]).clip(min=ROUNDING)
    return t


def _common_mean(sums: np.ndarray, sizes: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """[cells]: the mean that both sides would have if they did not differ, each side weighing by its precision."""
    both = [
        _mean_and_variance(side[None] @ sums, side[None] @ sums**2, side[None] @ (sums.T * sizes).T, sizes, side[None])
        for side in sides
    ]
    weights = [1 / variance[0].clip(min=ROUNDING**2) for _, variance in both]
    combined: np.ndarray = (both[0][0][0] * weights[0] + both[1][0][0] * weights[1]) / (weights[0] + weights[1])
    return combined
