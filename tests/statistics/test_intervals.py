import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.statistics.intervals import mean_with_interval

ROWS = st.lists(st.tuples(st.floats(0, 50), st.integers(0, 5)), min_size=1, max_size=30)


def naive(values, clusters, resamples=2000):
    """The definition as a loop: draw clusters with replacement, pool their rows, take the mean; then the percentiles."""
    draw = random.Random(3)
    members = {label: [v for v, c in zip(values, clusters, strict=True) if c == label] for label in set(clusters)}
    labels = sorted(members)
    means = []
    for _ in range(resamples):
        pooled = [v for label in draw.choices(labels, k=len(labels)) for v in members[label]]
        means.append(sum(pooled) / len(pooled))
    return np.percentile(means, [2.5, 97.5])


def unequal_clusters():
    """40 clusters of 1 to 9 rows; rows of a cluster are alike, so the clusters decide how wide the interval is."""
    draw = random.Random(11)
    values, clusters = [], []
    for label in range(40):
        centre = draw.uniform(0, 50)
        for _ in range(1 + label % 9):
            values.append(centre + draw.gauss(0, 1))
            clusters.append(label)
    return values, clusters


def test_bounds_agree_with_the_loop():
    values, clusters = unequal_clusters()
    mean, (low, high) = mean_with_interval(values, clusters)
    expected_low, expected_high = naive(values, clusters)
    width = expected_high - expected_low
    assert mean == pytest.approx(sum(values) / len(values))
    assert low == pytest.approx(expected_low, abs=0.08 * width)
    assert high == pytest.approx(expected_high, abs=0.08 * width)


def test_resampling_rows_would_be_too_narrow():
    values, clusters = unequal_clusters()
    _, (low, high) = mean_with_interval(values, clusters)
    _, (row_low, row_high) = mean_with_interval(values, range(len(values)))
    assert high - low > 1.5 * (row_high - row_low)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 3))
def test_interval_holds_the_mean(rows, seed):
    values, clusters = zip(*rows, strict=True)
    mean, (low, high) = mean_with_interval(values, clusters, seed=seed, resamples=50)
    assert low <= mean <= high
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    assert min(values) - 1e-9 <= low and high <= max(values) + 1e-9


@settings(max_examples=60, deadline=None)
@given(value=st.floats(-1e3, 1e3), clusters=st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_constant_values_give_a_point(value, clusters):
    mean, (low, high) = mean_with_interval([value] * len(clusters), clusters, resamples=50)
    assert low <= mean <= high
    assert mean == pytest.approx(value) and low == pytest.approx(value) and high == pytest.approx(value)


def test_one_cluster_has_no_width():
    assert mean_with_interval([1.0, 2.0, 6.0], ["a", "a", "a"]) == (3.0, (3.0, 3.0))


def test_same_seed_same_interval_other_seed_other_interval():
    values, clusters = unequal_clusters()
    assert mean_with_interval(values, clusters, seed=0) == mean_with_interval(values, clusters, seed=0)
    assert mean_with_interval(values, clusters, seed=0) != mean_with_interval(values, clusters, seed=1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible(bad):
    mean, (low, high) = mean_with_interval([1.0, bad, 2.0], [0, 1, 2])
    assert not np.isfinite([mean, low, high]).any()


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], [0, 1]), ([[1.0]], [[0]])])
def test_misfits_are_refused(values, clusters):
    with pytest.raises(ValueError, match="equally long"):
        mean_with_interval(values, clusters)


def test_an_evaluation_of_500_rows_is_quick():
    draw = np.random.default_rng(5)
    values, clusters = draw.integers(0, 51, 500), np.arange(500)
    start = time.perf_counter()
    for seed in range(20):
        mean_with_interval(values, clusters, seed=seed)
    assert time.perf_counter() - start < 3
