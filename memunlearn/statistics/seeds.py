"""Intervals and tests across seeds. A seed is the outer unit: its rows and clusters lie within it, never across."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import permutation_test, ttest_1samp

from memunlearn.statistics.intervals import ANY_NUMBER, CONFIDENCE, ROUNDING, Interval, Limits, sums_and_sizes

# Below this an interval across seeds says more about the method that made it than about the seeds.
SEEDS_AT_LEAST = 5
# All sign flips up to 13 seeds; above, as many drawn at random.
FLIPS = 9999
# Clusters drawn at a time (the memory of an evaluation with thousands of clusters stays small).
DRAWS_AT_ONCE = 2_000_000


def two_level_interval(
    seeds: Sequence[tuple[ArrayLike, ArrayLike]],
    random_seed: int = 0,
    resamples: int = 2000,
    limits: Limits = ANY_NUMBER,
) -> tuple[float, Interval | None]:
    """Mean over seeds of each seed's mean over rows, and its 95 % interval: the wider of two on either side.

    seeds: for each the values [N] of its rows and their cluster labels [N]. The two: Student's t over the seeds' means
    (`mean_interval`), which with few seeds is the one that covers; and the percentiles of a two-level bootstrap, which sees
    clusters that differ where the seeds' means happen not to. It draws as many seeds as there are, with replacement, and within
    each of them as many of its clusters as it has, each with all of its rows (the nested bootstrap of Davison and Hinkley 1997,
    section 3.8). Seeds weigh the same, however many rows they have. None where all seeds have the same mean.
    limits: what a row's value can be; the interval ends there.

    Raises ValueError where there are fewer than SEEDS_AT_LEAST seeds, or one has no rows.
    """
    _check_number(len(seeds))
    of_seeds = [sums_and_sizes(values, clusters) for values, clusters in seeds]
    mean, over_seeds = mean_interval([sums.sum() / sizes.sum() for sums, sizes in of_seeds], limits)
    if over_seeds is None:
        return mean, None
    draw = np.random.default_rng(random_seed)
    chosen = draw.integers(len(seeds), size=(resamples, len(seeds)))
    means = np.empty(chosen.shape)
    for seed, (sums, sizes) in enumerate(of_seeds):
        slots = np.flatnonzero(chosen.ravel() == seed)
        at_once = max(1, DRAWS_AT_ONCE // len(sums))
        for start in range(0, len(slots), at_once):
            part = slots[start : start + at_once]
            clusters = draw.integers(len(sums), size=(len(part), len(sums)))
            means.ravel()[part] = sums[clusters].sum(1) / sizes[clusters].sum(1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means.mean(1), [tail, 100 - tail])
    return mean, (min(float(low), over_seeds[0]), max(float(high), over_seeds[1]))


def mean_interval(values: ArrayLike, limits: Limits = ANY_NUMBER) -> tuple[float, Interval | None]:
    """Mean of one number a seed and its 95 % interval by Student's t: with few seeds a percentile bootstrap is too narrow.

    values: [seeds]. limits: what one of them can be; the interval ends there. None where all are the same: that they would
    never differ is not known. Raises ValueError where there are fewer than SEEDS_AT_LEAST.
    """
    numbers = np.asarray(values, dtype=np.float64)
    _check_number(len(numbers))
    mean = float(numbers.mean())
    if not np.isfinite(mean) or np.ptp(numbers) <= ROUNDING * np.abs(numbers).max():
        return mean, None
    interval = ttest_1samp(numbers, 0).confidence_interval(CONFIDENCE)
    return mean, (max(float(interval.low), limits[0]), min(float(interval.high), limits[1]))


def paired_p_value(differences: ArrayLike, random_seed: int = 0) -> float:
    """Two-sided p-value of the mean paired difference by flipping signs: if neither side mattered, each seed's difference could
    as well have had the other sign.

    differences: [seeds]. Rather than Wilcoxon's signed ranks, since it tests the mean that is shown. Exact up to 13 seeds; the
    smallest possible value is 2 / 2**seeds (0.06 for 5, 0.002 for 10). Raises ValueError below SEEDS_AT_LEAST seeds.
    """
    numbers = np.asarray(differences, dtype=np.float64)
    _check_number(len(numbers))
    if not numbers.any():
        return 1.0
    return float(
        permutation_test(
            (numbers, np.zeros_like(numbers)),
            _mean_difference,
            permutation_type="samples",
            vectorized=True,
            n_resamples=FLIPS,
            alternative="two-sided",
            rng=np.random.default_rng(random_seed),
        ).pvalue
    )


def _mean_difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    difference: np.ndarray = np.mean(x - y, axis=axis)
    return difference


def _check_number(seeds: int) -> None:
    if seeds < SEEDS_AT_LEAST:
        raise ValueError(f"{seeds} seeds: an interval across seeds needs {SEEDS_AT_LEAST}")
