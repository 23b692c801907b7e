"""Differences and AUROC of two groups, against scipy, torchmetrics and the enumeration of all relabellings."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torchmetrics.functional.classification import binary_auroc

from memunlearn.statistics import two_groups
from memunlearn.statistics.two_groups import NOTHING, auroc, mean_difference

RNG = np.random.default_rng(0)
CLUSTERS = np.repeat(np.arange(20), RNG.integers(1, 4, size=20))
FIRST = CLUSTERS < 8
VALUES = np.round(RNG.normal(size=len(CLUSTERS)) + FIRST, 1)  # rounded: ties


def test_auroc_is_that_of_scipy_and_torchmetrics():
    found = auroc(VALUES, FIRST, CLUSTERS)
    by_scipy = mannwhitneyu(VALUES[FIRST], VALUES[~FIRST]).statistic / (FIRST.sum() * (~FIRST).sum())
    by_torchmetrics = binary_auroc(torch.sigmoid(torch.tensor(VALUES)), torch.tensor(FIRST).long())
    assert found.value == pytest.approx(by_scipy) and found.value == pytest.approx(float(by_torchmetrics), abs=1e-5)
    assert found.low < found.value < found.high <= 1


def naive_resamples(statistic, resamples=3000):
    """Rows of clusters drawn within each group, repeated as often as drawn."""
    draws = np.random.default_rng(5)
    kinds = [np.unique(CLUSTERS[FIRST]), np.unique(CLUSTERS[~FIRST])]
    found = []
    for _ in range(resamples):
        groups = [np.concatenate([VALUES[CLUSTERS == c] for c in draws.choice(kind, len(kind))]) for kind in kinds]
        found.append(statistic(*groups))
    return np.percentile(found, [2.5, 97.5])


def test_intervals_are_those_of_repeated_rows():
    low, high = naive_resamples(lambda a, b: mannwhitneyu(a, b).statistic / (len(a) * len(b)))
    found = auroc(VALUES, FIRST, CLUSTERS, resamples=3000)
    assert found.low == pytest.approx(low, abs=0.02) and found.high == pytest.approx(high, abs=0.02)
    low, high = naive_resamples(lambda a, b: a.mean() - b.mean())
    found = mean_difference(VALUES, FIRST, CLUSTERS, resamples=3000)
    assert found.low == pytest.approx(low, abs=0.06) and found.high == pytest.approx(high, abs=0.06)
    assert found.value == pytest.approx(VALUES[FIRST].mean() - VALUES[~FIRST].mean())


def naive_studentized(values, member, clusters):
    """Difference of the means over rows, over its cluster-robust standard error, cluster by cluster."""
    means = {side: values[member == side].mean() for side in (True, False)}
    count = {side: len(np.unique(clusters[member == side])) for side in (True, False)}
    variance = 0
    for cluster in np.unique(clusters):
        moved = 0
        for side, sign in ((True, 1), (False, -1)):
            rows = values[(member == side) & (clusters == cluster)]
            moved += sign * (rows - means[side]).sum() / (member == side).sum() * np.sqrt(count[side] / (count[side] - 1))
        variance += moved**2
    return (means[True] - means[False]) / np.sqrt(variance)


@pytest.mark.parametrize("mixed", [False, True])
def test_p_value_is_the_share_of_all_relabellings(mixed):
    clusters = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 7, 7])
    first = (clusters < 3) | (mixed & (np.arange(13) == 11))  # of cluster 7 one row is in the first group
    values = np.random.default_rng(4).normal(size=13) + 0.3 * first
    observed = naive_studentized(values, first, clusters)
    moved = 7 if mixed else 8
    every = [np.isin(clusters, chosen) | (first & (clusters >= moved)) for chosen in combinations(range(moved), 3)]
    permuted = np.array([naive_studentized(values, member, clusters) for member in every])
    reached = min((permuted >= observed - 1e-8).sum(), (permuted <= observed + 1e-8).sum())
    assert 1 < reached < len(every) / 2
    assert mean_difference(values, first, clusters).p_value == pytest.approx(2 * reached / len(every))


def test_the_test_keeps_its_level_where_few_clusters_scatter_more(monkeypatch):
    """The unstudentized difference rejects in 25 % of such data sets."""
    monkeypatch.setattr(two_groups, "PERMUTATIONS", 399)
    draws = np.random.default_rng(6)
    clusters = np.arange(220)
    p = [
        mean_difference(draws.normal(size=220) * np.where(clusters < 20, 2, 1), clusters < 20, clusters, seed, 2).p_value
        for seed in range(300)
    ]
    level = np.mean(np.array(p) <= 0.05)
    assert 0.01 <= level <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300) + 0.02  # exact only for many clusters


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1])
def test_constants_do_not_differ_and_separate_perfectly(value):
    clusters = np.repeat(np.arange(9), 3)
    first = clusters < 4
    equal = mean_difference(np.full(27, value), first, clusters)
    assert equal.p_value == 1 and equal.value == pytest.approx(0, abs=1e-6)
    apart = mean_difference(value + first, first, clusters)
    assert apart.p_value == pytest.approx(2 / 126)


def test_the_test_keeps_its_level_under_the_null():
    draws = np.random.default_rng(2)
    clusters = np.repeat(np.arange(14), 3)
    first = clusters < 6
    small = []
    for _ in range(60):
        values = draws.normal(size=14)[clusters] + draws.normal(size=42) * 0.2  # rows of a cluster nearly agree
        small.append(mean_difference(values, first, clusters, resamples=10).p_value <= 0.05)
    assert np.mean(small) <= 0.15  # treating rows as independent rejects about a third of the time


def test_a_cluster_of_both_groups_stays_as_it_is():
    clusters = np.array([0, 0, 1, 2, 3, 4])
    first = np.array([True, False, True, True, False, False])
    found = mean_difference([9.0, 0.0, 3.0, 3.0, 1.0, 0.5], first, clusters)
    # The four other clusters in two and two: 6 ways, and none is further above 0.
    assert found.value == pytest.approx(5 - 0.5) and found.p_value == pytest.approx(2 * 1 / 6)


def test_too_few_rows():
    assert mean_difference([1.0, 2.0], [True, True], [0, 1]) == NOTHING == auroc([1.0, 2.0], [False, False], [0, 1])
    one_each = mean_difference([1.0, 3.0, np.nan], [True, False, False], [0, 1, 2])
    assert one_each.value == -2.0 and one_each.low is None
    one_cluster = mean_difference([1.0, 3.0], [True, False], [0, 0])
    assert (one_cluster.low, one_cluster.p_value) == (None, None)
    assert auroc([1.0, 3.0], [True, False], [0, 1]).numbers() == {"value": 0.0, "low": None, "high": None, "p_value": None}
