"""Means of many cells, against the means of one and a hand-made bootstrap."""

import numpy as np
import pytest

from memunlearn.statistics.estimates import means_with_intervals, numbers_or_none
from memunlearn.statistics.intervals import mean_with_interval

RNG = np.random.default_rng(3)
CLUSTERS = np.repeat(np.arange(12), [1, 2, 3, 1, 1, 4, 2, 1, 1, 2, 1, 5])
VALUES = RNG.normal(size=(24, 2, 3)) + CLUSTERS[:, None, None] * 0.3


def test_means_and_intervals_of_cells_are_those_of_each_cell():
    found = means_with_intervals(VALUES, CLUSTERS, resamples=4000)
    for cell in np.ndindex(2, 3):
        mean, (low, high) = mean_with_interval(VALUES[:, *cell], CLUSTERS, resamples=4000)
        assert found.value[cell] == pytest.approx(mean)
        assert (found.low[cell], found.high[cell]) == (pytest.approx(low), pytest.approx(high))
        assert found.low[cell] < mean < found.high[cell]
        assert found.numbers(cell)["rows"] == 24 and found.numbers(cell)["clusters"] == 12


def test_missing_values_count_in_no_mean():
    values = VALUES.copy()
    values[5:, 0, 0] = np.nan
    values[:, 1, 1] = np.nan
    found = means_with_intervals(values, CLUSTERS)
    assert found.value[0, 0] == pytest.approx(VALUES[:5, 0, 0].mean())
    assert found.rows[0, 0] == 5 and found.clusters[0, 0] == 3 and np.isnan(found.low[0, 0])
    values[5, 0, 2] = np.nan
    gone = means_with_intervals(values, CLUSTERS).numbers((0, 2))
    rows = np.arange(len(values)) != 5
    mean, (low, high) = mean_with_interval(values[rows, 0, 2], CLUSTERS[rows])
    assert (gone["value"], gone["low"], gone["high"]) == (pytest.approx(mean), pytest.approx(low), pytest.approx(high))
    assert found.numbers((1, 1)) == {"value": None, "low": None, "high": None, "rows": 0, "clusters": 0}


def test_means_of_means_are_over_what_those_are_of():
    parts = [RNG.normal(size=size) + cluster for cluster, size in enumerate((4, 1, 7, 2, 3, 1, 1, 5, 2, 2, 1))]
    means, sizes = [part.mean() for part in parts], [len(part) for part in parts]
    found = means_with_intervals(means, np.arange(11), sizes=sizes)
    everything = np.concatenate(parts), np.repeat(np.arange(11), sizes)
    mean, (low, high) = mean_with_interval(*everything)
    assert found.value == pytest.approx(mean) and found.numbers()["rows"] == 11
    assert [found.low, found.high] == pytest.approx([low, high])


def test_what_values_can_be_bounds_every_cell(monkeypatch):
    monkeypatch.setattr("memunlearn.statistics.intervals.MEANS_AT_ONCE", 4)
    values = np.abs(VALUES)
    found = means_with_intervals(values, CLUSTERS, limits=(0.0, 5.0))
    for cell in np.ndindex(2, 3):
        bounds = mean_with_interval(values[:, *cell], CLUSTERS, limits=(0.0, 5.0))[1]
        assert (found.low[cell], found.high[cell]) == pytest.approx(bounds)


def test_one_cluster_or_no_row_has_no_interval():
    one = means_with_intervals(VALUES, np.zeros(24)).numbers((0, 1))
    assert one["value"] == pytest.approx(VALUES[:, 0, 1].mean()) and one["low"] is None and one["high"] is None
    assert means_with_intervals(np.empty((0, 4)), np.empty(0)).numbers((2,))["value"] is None
    assert means_with_intervals(np.array([2.0]), np.array([7])).numbers() == {
        "value": 2.0,
        "low": None,
        "high": None,
        "rows": 1,
        "clusters": 1,
    }


def test_the_same_seed_gives_the_same_interval():
    first, again, other = (means_with_intervals(VALUES, CLUSTERS, seed).low for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="equally long"):
        means_with_intervals(VALUES, CLUSTERS[1:])


def test_what_is_not_finite_becomes_none():
    assert numbers_or_none([[1.5, np.nan], [np.inf, -2]]) == [[1.5, None], [None, -2.0]]
