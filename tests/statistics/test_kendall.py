"""Kendall's tau-b against scipy, with ties and with values that are not there."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from memunlearn.statistics import kendall
from memunlearn.statistics.kendall import tau_b

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
