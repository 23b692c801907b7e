"""The interval of a mean over clusters, against the definition as loops."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from memunlearn.statistics.intervals import FEWEST_CLUSTERS, cluster_weights, mean_with_interval, too_few_clusters

ROWS = st.lists(st.tuples(st.floats(0, 50), st.integers(0, 15)), min_size=1, max_size=40)


def unequal_clusters(number=40):
    """Clusters of 1 to 9 rows; rows of a cluster are alike, so the clusters decide how wide the interval is."""
    draw = random.Random(11)
    values, clusters = [], []
    for label in range(number):
        centre = draw.uniform(0, 50)
        for _ in range(1 + label % 9):
            values.append(centre + draw.gauss(0, 1))
            clusters.append(label)
    return values, clusters


def members_of(values, clusters):
    return [[v for v, c in zip(values, clusters, strict=True) if c == label] for label in sorted(set(clusters))]


def mean_of(members):
    return sum(map(sum, members)) / sum(map(len, members))


def naive_student(values, clusters, limits):
    members = members_of(values, clusters)
    means = [sum(one) / len(one) for one in members]
    quantile = student.ppf(0.975, len(members) - 1)
    row_in_a_cluster_of = sum(len(one) ** 2 for one in members) / len(values)
    ends = []
    for limit, extreme, sign in ((limits[0], min(means), -1), (limits[1], max(means), 1)):
        place = limit if np.isfinite(limit) else extreme
        # One more cluster, which need not be a whole number of rows: sums and sizes.
        parts = [(sum(one), len(one)) for one in members] + [(place * row_in_a_cluster_of, row_in_a_cluster_of)]
        total, size = map(sum, zip(*parts, strict=True))
        without = [(total - s) / (size - n) for s, n in parts]
        spread = ((len(parts) - 1) / len(parts) * sum((one - total / size) ** 2 for one in without)) ** 0.5
        ends.append(total / size + sign * quantile * spread)
    return ends


def naive_bootstrap(values, clusters, seed, resamples):
    members, mean = members_of(values, clusters), mean_of(members_of(values, clusters))

    def spread(drawn):
        own = mean_of(drawn)
        return sum((sum(one) - len(one) * own) ** 2 for one in drawn) ** 0.5 / sum(map(len, drawn))

    distances = []
    for weights in np.concatenate(cluster_weights(np.zeros(len(members), int), np.random.default_rng(seed), resamples)):
        drawn = [one for one, times in zip(members, weights.astype(int), strict=True) for _ in range(times)]
        if spread(drawn) > 1e-6 * spread(members):
            distances.append((mean_of(drawn) - mean) / spread(drawn))
    low, high = np.percentile(distances, [1, 99])
    return [mean - high * spread(members), mean - low * spread(members)]


@pytest.mark.parametrize("limits", [(-np.inf, np.inf), (0.0, 50.0), (0.0, np.inf)])
@pytest.mark.parametrize("skewed", [False, True])
def test_bounds_are_those_of_the_loops(limits, skewed):
    values, clusters = unequal_clusters(14)
    values = [max(0.0, v / 50) ** 6 * 50 for v in values] if skewed else [min(50.0, max(0.0, v)) for v in values]
    mean, (low, high) = mean_with_interval(values, clusters, seed=4, resamples=300, limits=limits)
    by_student, by_bootstrap = naive_student(values, clusters, limits), naive_bootstrap(values, clusters, 4, 300)
    assert mean == pytest.approx(sum(values) / len(values))
    assert low == pytest.approx(max(limits[0], min(by_student[0], by_bootstrap[0])))
    assert high == pytest.approx(min(limits[1], max(by_student[1], by_bootstrap[1])))
    assert not skewed or by_bootstrap[1] > by_student[1]


def test_resampling_rows_would_be_too_narrow():
    values, clusters = unequal_clusters()
    _, (low, high) = mean_with_interval(values, clusters)
    _, (row_low, row_high) = mean_with_interval(values, range(len(values)))
    assert high - low > 1.5 * (row_high - row_low)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 3))
def test_interval_holds_the_mean_and_stays_within_what_there_can_be(rows, seed):
    values, clusters = zip(*rows, strict=True)
    mean, interval = mean_with_interval(values, clusters, seed=seed, resamples=50, limits=(0.0, 50.0))
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    if interval is not None:
        assert 0 <= interval[0] <= mean <= interval[1] <= 50 and interval[0] < interval[1]
    else:
        means = [sum(one) / len(one) for one in members_of(values, clusters)]
        assert len(means) < FEWEST_CLUSTERS or max(means) - min(means) <= 1e-6


def test_too_few_clusters_have_no_interval():
    values, clusters = unequal_clusters(FEWEST_CLUSTERS)
    assert mean_with_interval(values, clusters)[1] is not None and too_few_clusters(FEWEST_CLUSTERS) is None
    for number in range(1, FEWEST_CLUSTERS):
        rows = [(v, c) for v, c in zip(values, clusters, strict=True) if c < number]
        mean, interval = mean_with_interval(*zip(*rows, strict=True))
        assert mean == pytest.approx(np.mean([v for v, _ in rows])) and interval is None
    assert too_few_clusters(1) == "1 cluster, and an interval needs 10" and too_few_clusters(9).startswith("9 clusters,")


@pytest.mark.parametrize("value", [0.0, 0.1, 50.0, 1e6 + 0.1])
def test_what_is_the_same_everywhere_has_no_interval(value):
    mean, interval = mean_with_interval([value] * 33, [i // 2 for i in range(33)])
    assert mean == pytest.approx(value) and interval is None


def test_what_was_not_drawn_is_allowed_for():
    """None of 30 clusters recites; that one in thirty would is within the interval, as in Clopper and Pearson's."""
    values = [i % 3 for i in range(30)]
    _, (low, high) = mean_with_interval(values, range(30), limits=(0, 50))
    assert low >= 0 and high > 50 / 30 + 1
    assert mean_with_interval(values, range(30))[1][1] < 1.5


def test_same_seed_same_interval_other_seed_other_interval():
    values, clusters = unequal_clusters()
    values = [v**4 for v in values]
    assert mean_with_interval(values, clusters, seed=0) == mean_with_interval(values, clusters, seed=0)
    assert mean_with_interval(values, clusters, seed=0) != mean_with_interval(values, clusters, seed=1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible(bad):
    mean, interval = mean_with_interval([1.0, bad, *range(20)], range(22))
    assert not np.isfinite(mean) and interval is None


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], [0, 1]), ([[1.0]], [[0]])])
def test_misfits_are_refused(values, clusters):
    with pytest.raises(ValueError, match="equally long"):
        mean_with_interval(values, clusters)


def test_resamples_draw_as_many_of_each_kind_as_there_are():
    kinds = np.array([0, 1, 1, 0, 1, 2])
    parts = cluster_weights(kinds, np.random.default_rng(0), 450)
    assert [len(part) for part in parts] == [200, 200, 50]
    weights = np.concatenate(parts)
    for kind, number in ((0, 2), (1, 3), (2, 1)):
        assert (weights[:, kinds == kind].sum(1) == number).all()
    assert weights.mean(0) == pytest.approx(np.ones(6), abs=0.15) and (weights[:, 1] == 3).mean() == pytest.approx(
        1 / 27, abs=0.03
    )


def test_an_evaluation_of_500_rows_is_quick():
    draw = np.random.default_rng(5)
    values, clusters = draw.integers(0, 51, 500), np.arange(500)
    start = time.perf_counter()
    for seed in range(20):
        mean_with_interval(values, clusters, seed=seed)
    assert time.perf_counter() - start < 3
