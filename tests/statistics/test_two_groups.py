"""Differences and AUROC of two groups, against scipy, torchmetrics and the enumeration of all relabellings."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torchmetrics.functional.classification import binary_auroc

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


def test_p_value_is_the_share_of_all_relabellings():
    clusters = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 6])
    first = clusters < 3
    values = RNG.normal(size=10) + 2 * first
    observed = values[first].mean() - values[~first].mean()
    at_least = {"above": 0, "below": 0}
    every = list(combinations(range(7), 3))
    for chosen in every:
        member = np.isin(clusters, chosen)
        difference = values[member].mean() - values[~member].mean()
        at_least["above"] += difference >= observed - 1e-12
        at_least["below"] += difference <= observed + 1e-12
    exact = min(1.0, 2 * min(at_least.values()) / len(every))
    assert mean_difference(values, first, clusters).p_value == pytest.approx(exact)


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
