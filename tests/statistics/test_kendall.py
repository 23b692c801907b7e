"""Kendall's tau-b against scipy, with ties and with values that are not there."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from memunlearn.statistics import kendall
from memunlearn.statistics.kendall import tau_b, tau_within_columns, tau_within_columns_with_interval

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("at_once", [300, 2_000_000])
def test_tau_b_is_scipys_with_ties(at_once, monkeypatch):
    monkeypatch.setattr(kendall, "PAIRS_AT_ONCE", at_once)
    x, y = RNG.normal(size=(4, 3, 15)), RNG.integers(0, 5, size=(4, 1, 15))
    found = tau_b(x, y)
    for cell in np.ndindex(4, 3):
        assert found[cell] == pytest.approx(kendalltau(x[cell], y[cell[0], 0]).statistic)


def test_places_without_a_value_are_left_out():
    x, y = RNG.normal(size=12), RNG.integers(0, 4, size=12).astype(float)
    x[:4], y[7] = np.nan, np.nan
    there = np.array([4, 5, 6, 8, 9, 10, 11])
    assert tau_b(x, y) == pytest.approx(kendalltau(x[there], y[there]).statistic)
    assert np.isnan(tau_b(x, np.full(12, 3.0))) and np.isnan(tau_b([1.0], [2.0])) and np.isnan(tau_b(x * np.nan, y))


def test_within_columns_is_the_mean_of_scipys_over_rows():
    x, y = RNG.normal(size=(20, 6)), RNG.integers(0, 4, size=(20, 6)).astype(float)
    x[3, 2], y[:, 4] = np.nan, 1
    keep = np.arange(20) != 3
    each = [kendalltau(x[:, c][keep | (c != 2)], y[:, c][keep | (c != 2)]).statistic for c in (0, 1, 2, 3, 5)]
    found, columns = tau_within_columns(x, y, np.arange(20))
    assert found == pytest.approx(np.mean(each)) and columns == 5


def test_what_columns_have_in_common_does_not_count():
    position = np.arange(30.0)
    x, y = (RNG.normal(size=(40, 30)) + 5 * position for _ in range(2))
    assert tau_b(x, y).mean() > 0.9
    assert abs(tau_within_columns(x, y, np.arange(40))[0]) < 0.1


def test_near_duplicates_are_not_compared():
    clusters = np.array([0, 0, 1, 2, 3])
    x = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    y = np.array([[9.0], [8.0], [10.0], [11.0], [12.0]])  # rows 0 and 1 disagree, all other pairs agree
    assert tau_within_columns(x, y, clusters) == (1.0, 1)
    assert tau_within_columns(x, y, np.arange(5))[0] == pytest.approx(0.8)


def test_interval_is_that_of_repeated_rows():
    x = RNG.normal(size=(25, 3))
    y = x + RNG.normal(size=(25, 3))
    clusters = np.repeat(np.arange(15), [2] * 10 + [1] * 5)
    draws = np.random.default_rng(7)
    naive = []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(clusters == c) for c in draws.choice(15, 15)])
        naive.append(tau_within_columns(x[rows], y[rows], clusters[rows])[0])
    found = tau_within_columns_with_interval(x, y, clusters)
    assert found.value == pytest.approx(tau_within_columns(x, y, clusters)[0])
    assert [found.low, found.high] == pytest.approx(np.percentile(naive, [2.5, 97.5]), abs=0.06)
    again = tau_within_columns_with_interval(x, y, clusters)
    assert again == found


def test_too_few_rows_have_no_interval():
    assert tau_within_columns([[1.0]], [[2.0]], [0]) == (None, 0)
    assert tau_within_columns_with_interval([[1.0]], [[2.0]], [0]).value is None
    two = tau_within_columns_with_interval([[1.0], [2.0]], [[2.0], [1.0]], [0, 1])
    assert (two.value, two.low) == (-1.0, None)
