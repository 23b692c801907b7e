"""Two groups of rows compared: the difference of their means, and how well a score tells them apart.

Clusters are the units. Where a group's rows lie in fewer than FEWEST_CLUSTERS of them there is no interval and no p-value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from scipy.stats import t as student

from memunlearn.statistics.intervals import (
    ANY_NUMBER,
    CONFIDENCE,
    Interval,
    Limits,
    mean_with_interval,
    too_few_clusters,
)
from memunlearn.statistics.permutation import exchanged_and_flipped, units_of
from memunlearn.statistics.proportions import share_with_interval

# Relabellings of the clusters, and as many flips of signs.
PERMUTATIONS = 9999


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
    values: ArrayLike,
    first: ArrayLike,
    clusters: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = 2000,
    limits: Limits = ANY_NUMBER,
) -> Comparison:
    """Mean of the first group minus mean of the second, both over rows; rows whose value is NaN are left out.

    values: [N] within limits; first: [N] bool, the rest is the second group; clusters: [N] labels. The interval is made of
    those of the two means (Zou and Donner 2008), so it is as skewed as they are; clusters with rows of both groups can only
    widen it. None where one of those is. p_value: as in `permutation.max_t`, of the means over rows; where groups are skewed
    and scatter unequally it is too small, so a direction needs an interval without 0 as well. Both None without FEWEST_CLUSTERS
    clusters of each. All None where a group is empty.
    """
    rows, is_first, labels = np.asarray(values, dtype=np.float64), np.asarray(first, dtype=bool), np.asarray(clusters)
    there = ~np.isnan(rows)
    rows, is_first, labels = rows[there], is_first[there], labels[there]
    if not is_first.any() or is_first.all():
        return NOTHING
    means = np.array([rows[is_first].mean(), rows[~is_first].mean()])
    value = float(means[0] - means[1])
    sums, sizes, of_first = units_of(rows[:, None], is_first, labels)
    if too_few_clusters(int(min(of_first.sum(), (~of_first).sum()))):
        return Comparison(value, None, None)
    p_value = float(exchanged_and_flipped(sums, sizes, of_first, PERMUTATIONS, seed)[2][0])
    of_first_mean, of_second_mean = (
        mean_with_interval(rows[member], labels[member], seed, resamples, limits)[1] for member in (is_first, ~is_first)
    )
    if of_first_mean is None or of_second_mean is None:
        return Comparison(value, None, None, p_value)
    together = min(0.0, _correlation(rows, is_first, labels, means))
    return Comparison(value, *_of_difference(means, of_first_mean, of_second_mean, together), p_value)


def auroc(scores: ArrayLike, first: ArrayLike, clusters: ArrayLike) -> Comparison:
    """Probability that a row of the first group scores higher than one of the second, a tie counting half (AUROC).

    scores: [N], finite; first: [N] bool; clusters: [N] labels. The interval is Clopper and Pearson's for as many trials as
    would have the AUROC's variance: that of DeLong et al. (1988) summed over clusters (Obuchowski 1997), with Student's t in
    place of the normal distribution. They are at most as many as where the groups do not differ and clusters are alike within,
    so there is an interval where the groups do not overlap in the sample. None without FEWEST_CLUSTERS clusters of each. All
    None where a group is empty. No p_value.
    """
    rows, is_first, labels = np.asarray(scores, dtype=np.float64), np.asarray(first, dtype=bool), np.asarray(clusters)
    if not is_first.any() or is_first.all():
        return NOTHING
    places = np.empty(len(rows))
    for member, sign in ((is_first, 1.0), (~is_first, -1.0)):
        others = np.sort(sign * rows[~member])
        own = sign * rows[member]
        places[member] = (np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")) / (2 * len(others))
    value = float(places[is_first].mean())
    _, of_row = np.unique(labels, return_inverse=True)
    sizes = np.stack([np.bincount(of_row[member], minlength=of_row.max() + 1) for member in (is_first, ~is_first)])
    number = (sizes > 0).sum(1)
    if too_few_clusters(int(number.min())):
        return Comparison(value, None, None)
    influence = (places - value) * np.where(is_first, *np.sqrt(number / (number - 1)) / sizes.sum(1))
    variance = float(np.square(np.bincount(of_row, influence)).sum())
    effective = np.square(sizes.sum(1)) / np.square(sizes).sum(1)
    at_most = 3 * effective.prod() / effective.sum()
    tail = (1 + CONFIDENCE) / 2
    heavier = (norm.ppf(tail) / student.ppf(tail, number.min() - 1)) ** 2
    trials = at_most if variance == 0 else min(at_most, value * (1 - value) / variance * heavier)
    return Comparison(value, *share_with_interval(value * max(1.0, trials), max(1.0, trials))[1])


def _correlation(rows: np.ndarray, is_first: np.ndarray, labels: np.ndarray, means: np.ndarray) -> float:
    """Of what the clusters add to the one mean and to the other; 0 where none has rows of both groups."""
    _, of_row = np.unique(labels, return_inverse=True)
    residuals = rows - np.where(is_first, *means)
    of_clusters = [np.bincount(of_row[one], residuals[one], of_row.max() + 1) for one in (is_first, ~is_first)]
    return float(of_clusters[0] @ of_clusters[1] / np.sqrt(np.prod([one @ one for one in of_clusters])))


def _of_difference(means: np.ndarray, first: Interval, second: Interval, correlation: float) -> Interval:
    below, above = (means[0] - first[0], second[1] - means[1]), (first[1] - means[0], means[1] - second[0])
    reach = [float(np.sqrt(x**2 + y**2 - 2 * correlation * x * y)) for x, y in (below, above)]
    value = float(means[0] - means[1])
    return value - reach[0], value + reach[1]
