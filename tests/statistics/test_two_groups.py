"""Differences and AUROC of two groups, against scipy, torchmetrics and loops."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, norm
from scipy.stats import t as student
from torchmetrics.functional.classification import binary_auroc

from memunlearn.statistics import two_groups
from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.permutation import exchanged_and_flipped
from memunlearn.statistics.proportions import share_with_interval
from memunlearn.statistics.two_groups import NOTHING, auroc, mean_difference

RNG = np.random.default_rng(0)
CLUSTERS_IN_ALL, OF_FIRST = 25, 11
CLUSTERS = np.repeat(np.arange(CLUSTERS_IN_ALL), RNG.integers(1, 4, size=CLUSTERS_IN_ALL))
FIRST = CLUSTERS < OF_FIRST
VALUES = np.round(RNG.normal(size=len(CLUSTERS)) + FIRST, 1)  # rounded: ties


def test_auroc_is_that_of_scipy_and_torchmetrics():
    found = auroc(VALUES, FIRST, CLUSTERS)
    by_scipy = mannwhitneyu(VALUES[FIRST], VALUES[~FIRST]).statistic / (FIRST.sum() * (~FIRST).sum())
    by_torchmetrics = binary_auroc(torch.sigmoid(torch.tensor(VALUES)), torch.tensor(FIRST).long())
    assert found.value == pytest.approx(by_scipy) and found.value == pytest.approx(float(by_torchmetrics), abs=1e-5)
    assert found.low < found.value < found.high <= 1


def naive_placements(values, first, clusters):
    """What each row says of the AUROC, row by row."""
    places = np.empty(len(values))
    for i, value in enumerate(values):
        others = values[first != first[i]]
        wins = (others < value) if first[i] else (others > value)
        places[i] = wins.mean() + (others == value).mean() / 2
    return places


def test_auroc_interval_is_that_of_as_many_trials_as_have_its_variance():
    found = auroc(VALUES, FIRST, CLUSTERS)
    places, number, effective = naive_placements(VALUES, FIRST, CLUSTERS), [], []
    for side in (FIRST, ~FIRST):
        sizes = [(CLUSTERS[side] == c).sum() for c in np.unique(CLUSTERS[side])]
        number.append(len(sizes))
        effective.append(sum(sizes) ** 2 / sum(size**2 for size in sizes))
    variance = 0
    for cluster in np.unique(CLUSTERS):
        rows = CLUSTERS == cluster
        parts = [
            (places[rows & side] - found.value).sum() / side.sum() * np.sqrt(k / (k - 1))
            for side, k in zip((FIRST, ~FIRST), number, strict=True)
        ]
        variance += sum(parts) ** 2
    trials = found.value * (1 - found.value) / variance * (norm.ppf(0.975) / student.ppf(0.975, min(number) - 1)) ** 2
    trials = min(trials, 3 * effective[0] * effective[1] / sum(effective))
    assert (found.low, found.high) == pytest.approx(share_with_interval(found.value * trials, trials)[1])


def test_groups_that_do_not_overlap_still_might():
    first = np.arange(24) < 12
    found = auroc(np.arange(24.0), ~first, np.arange(24))
    assert (found.value, found.high) == (1.0, 1.0) and found.low == pytest.approx(0.025 ** (1 / 18))
    assert auroc(np.arange(24.0), first, np.arange(24)).high == pytest.approx(1 - found.low)


def test_interval_of_a_difference_is_made_of_those_of_the_means():
    found = mean_difference(VALUES, FIRST, CLUSTERS)
    (one, (one_low, one_high)), (two, (two_low, two_high)) = (
        mean_with_interval(VALUES[side], CLUSTERS[side]) for side in (FIRST, ~FIRST)
    )
    assert found.value == pytest.approx(one - two)
    assert found.low == pytest.approx(one - two - np.hypot(one - one_low, two_high - two))
    assert found.high == pytest.approx(one - two + np.hypot(one_high - one, two - two_low))


def test_clusters_of_both_groups_can_only_widen_the_interval():
    draws = np.random.default_rng(3)
    clusters, first = np.tile(np.arange(12), 2), np.arange(24) < 12
    shared = draws.normal(size=12)
    widths = {}
    for name, sign in (("alike", 1), ("opposite", -1)):
        values = np.concatenate([shared, sign * shared]) + 0.1 * draws.normal(size=24)
        strangers = mean_difference(values, first, np.arange(24))
        found = mean_difference(values, first, clusters)
        widths[name] = (found.high - found.low) / (strangers.high - strangers.low)
    assert widths["alike"] == pytest.approx(1) and widths["opposite"] == pytest.approx(2**0.5, abs=0.05)


def test_p_value_is_that_of_one_cell_over_rows():
    found = mean_difference(VALUES, FIRST, CLUSTERS, seed=4)
    sums = np.bincount(CLUSTERS, VALUES)[:, None]
    sizes = np.bincount(CLUSTERS).astype(float)
    expected = exchanged_and_flipped(sums, sizes, np.arange(CLUSTERS_IN_ALL) < OF_FIRST, two_groups.PERMUTATIONS, 4)
    assert found.p_value == expected[2][0] and 0 < found.p_value < 1
    assert found.value == pytest.approx(expected[0][0])


def test_the_test_keeps_its_level_where_few_clusters_scatter_more(monkeypatch):
    """The unstudentized difference rejects in 25 % of such data sets."""
    monkeypatch.setattr(two_groups, "PERMUTATIONS", 199)
    draws = np.random.default_rng(6)
    clusters = np.arange(70)
    p = [
        mean_difference(
            draws.normal(size=70) * np.where(clusters < 10, 4, 1), clusters < 10, clusters, seed=seed, resamples=2
        ).p_value
        for seed in range(300)
    ]
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1])
def test_constants_do_not_differ_and_separate_perfectly(value):
    clusters = np.repeat(np.arange(21), 3)
    first = clusters < 10
    equal = mean_difference(np.full(63, value), first, clusters)
    assert equal.p_value == 1 and equal.value == pytest.approx(0, abs=1e-6) and equal.low is None
    apart = mean_difference(value + first, first, clusters)
    assert apart.p_value < 0.001 and apart.low is None  # how much others would differ is not known


def test_the_test_keeps_its_level_under_the_null(monkeypatch):
    monkeypatch.setattr(two_groups, "PERMUTATIONS", 199)
    draws = np.random.default_rng(2)
    clusters = np.repeat(np.arange(24), 3)
    first = clusters < 11
    small = []
    for _ in range(300):
        values = draws.normal(size=24)[clusters] + draws.normal(size=72) * 0.2  # rows of a cluster nearly agree
        small.append(mean_difference(values, first, clusters, resamples=2).p_value <= 0.05)
    assert np.mean(small) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)  # treating rows as independent rejects a third of the time


@pytest.mark.parametrize("few", [1, 2, 5, 9])
def test_few_clusters_of_either_group_have_no_interval_and_no_p_value(few):
    for first in (np.arange(40) < few, np.arange(40) >= few):
        compared = mean_difference(np.arange(40.0) % 7, first, np.arange(40))
        assert compared.value is not None and (compared.low, compared.high, compared.p_value) == (None, None, None)
        area = auroc(np.arange(40.0), first, np.arange(40))
        assert area.value in (0.0, 1.0) and (area.low, area.high) == (None, None)


def test_too_few_rows():
    assert mean_difference([1.0, 2.0], [True, True], [0, 1]) == NOTHING == auroc([1.0, 2.0], [False, False], [0, 1])
    one_each = mean_difference([1.0, 3.0, np.nan], [True, False, False], [0, 1, 2])
    assert one_each.value == -2.0 and one_each.low is None
    one_cluster = mean_difference([1.0, 3.0], [True, False], [0, 0])
    assert (one_cluster.low, one_cluster.p_value) == (None, None)
    assert auroc([1.0, 3.0], [True, False], [0, 1]).numbers() == {"value": 0.0, "low": None, "high": None, "p_value": None}
