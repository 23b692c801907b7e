"""The distance of two models' values: a naive version, scipy's, the level of the swap test, the coverage of the interval."""

import numpy as np
import pytest
from scipy.stats import binomtest, ks_2samp

from memunlearn.statistics.ks import ks_distance


def draw(seed, clusters, shift=0.0, own=0.5, most=4):
    """Pairs of lognormal values in clusters of 1 to `most` rows, what a cluster shares aside; (first, second, labels)."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(clusters), random.integers(1, most + 1, clusters))
    shared = random.normal(size=clusters)[labels]
    models = random.normal(size=(2, clusters))[:, labels] * own
    first, second = np.exp(shared + models + 0.2 * random.normal(size=(2, len(labels))) + np.array([[shift], [0.0]]))
    return first, second, labels


@pytest.mark.parametrize("seed", range(4))
def test_the_value_is_the_largest_distance_of_the_two_shares(seed):
    first, second, labels = draw(seed, 7, shift=0.8)
    first, second = np.round(first, 1), np.round(second, 1)  # ties, within and between
    naive = max(abs(np.mean(first <= x) - np.mean(second <= x)) for x in [*first, *second])
    found = ks_distance(first, second, labels, swaps=9, resamples=9).value
    assert found == pytest.approx(naive) == pytest.approx(ks_2samp(first, second).statistic)


def test_p_is_that_of_all_swaps():
    """Five clusters have 32 swaps: the drawn ones tend to their share."""
    first, second, labels = draw(3, 5, shift=1.0)

    def distance(one, other):
        return max(abs(np.mean(one <= x) - np.mean(other <= x)) for x in [*one, *other])

    observed, reached = distance(first, second), 0
    for number in range(32):
        swapped = np.array([number >> label & 1 for label in labels], dtype=bool)
        pair = np.where(swapped, second, first), np.where(swapped, first, second)
        reached += distance(*pair) >= observed - 1e-12
    found = ks_distance(first, second, labels, swaps=20000)
    assert found.p_value == pytest.approx(reached / 32, abs=0.015)
    assert found.low is None and found.high is None  # five clusters


def test_a_model_beside_itself():
    first, _, labels = draw(1, 12)
    found = ks_distance(first, first, labels)
    assert (found.value, found.p_value, found.low) == (0.0, 1.0, 0.0)


def test_models_that_are_far_apart():
    first, _, labels = draw(1, 24)
    found = ks_distance(first, first + 100, labels, swaps=999)
    assert found.value == 1.0 and found.p_value == 1 / 1000 and found.low > 0.5 and found.high == 1.0


@pytest.mark.parametrize("clusters", [6, 20])
def test_the_level_of_the_swap_test(clusters):
    """Models that can be exchanged, in clusters of 1 to 6 rows: p at most a in a share a of draws, for small a and large."""
    p_values = np.array([ks_distance(*draw(seed, clusters, most=6), swaps=199, resamples=1).p_value for seed in range(1500)])
    for level in (0.05, 0.1, 0.3):
        found = int((p_values <= level).sum())
        assert binomtest(found, len(p_values), level, alternative="greater").pvalue > 1e-3, (level, found)
    assert (p_values <= 0.3).mean() > 0.1  # distances of a few rows are few values, so it is cautious, but not empty


def test_rows_of_a_cluster_are_no_rows_of_their_own():
    """Copies of every row, in the row's cluster, change nothing."""
    first, second, labels = draw(5, 15, shift=0.5)
    once = ks_distance(first, second, labels)
    thrice = ks_distance(*(np.repeat(one, 3) for one in (first, second, labels)))
    assert thrice.numbers() == pytest.approx(once.numbers())


@pytest.mark.parametrize(("clusters", "shift"), [(12, 0.0), (12, 1.0), (32, 0.0), (32, 0.6), (60, 1.5)])
def test_the_interval_covers(clusters, shift):
    many = draw(10**6, 40000, shift=shift)
    true = float(np.abs(_shares(many[0]) - _shares(many[1])).max())
    covered = [
        found.low <= true <= found.high
        for seed in range(300)
        for found in [ks_distance(*draw(seed, clusters, shift=shift), swaps=1, resamples=400)]
    ]
    assert np.mean(covered) > 0.93, np.mean(covered)


def _shares(values):
    points = np.exp(np.linspace(-6, 8, 800))
    return np.searchsorted(np.sort(values), points, "right") / len(values)


def test_what_is_not_there():
    assert ks_distance([1.0, np.nan], [1.0, 2.0], [0, 1]).value is None
    assert ks_distance([1.0, np.inf], [1.0, 2.0], [0, 1], swaps=9).value == 0.5
    for wrong in (([], [], []), ([1.0], [1.0, 2.0], [0, 1]), ([1.0, 2.0], [1.0, 2.0], [0])):
        with pytest.raises(ValueError, match="as long"):
            ks_distance(*wrong)
