import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from memunlearn.statistics.proportions import clustered_share, share_with_interval


def test_none_of_32_allows_up_to_11_percent():
    share, (low, high) = share_with_interval(0, 32)
    assert (share, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - 0.025 ** (1 / 32))  # the p at which none of 32 still happens once in 40
    assert 0.105 < high < 0.11


@settings(deadline=None)  # a machine that does other work is slow
@given(n=st.integers(1, 60), data=st.data())
def test_bounds_are_where_the_tails_hold_a_fortieth(n, data):
    hits = data.draw(st.integers(0, n))
    share, (low, high) = share_with_interval(hits, n)
    assert share == hits / n and low <= share <= high
    assert (low == 0.0) == (hits == 0) and (high == 1.0) == (hits == n)
    if hits:
        assert binom.sf(hits - 1, n, low) == pytest.approx(0.025, rel=1e-3)
    if hits < n:
        assert binom.cdf(hits, n, high) == pytest.approx(0.025, rel=1e-3)


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(hits, n):
    with pytest.raises(ValueError, match=f"{hits} of {n}"):
        share_with_interval(hits, n)


@settings(deadline=None)  # a machine that does other work is slow
@given(n=st.integers(1, 60), data=st.data())
def test_scipy_says_the_same(n, data):
    hits = data.draw(st.integers(0, n))
    interval = binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert share_with_interval(hits, n)[1] == pytest.approx((interval.low, interval.high))


def test_rows_that_are_their_own_clusters_are_so_many_trials():
    hits = [True, False, False, True] * 3
    assert clustered_share(hits, [5 * i % 17 for i in range(12)]) == share_with_interval(6, 12)


def test_all_or_none_of_enough_clusters_have_a_bound_and_few_clusters_none():
    for hits in (0.0, 1.0):
        share, (low, high) = clustered_share([hits] * 20, [i // 2 for i in range(20)])
        assert (share, high - low) == (hits, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert clustered_share([True, False] * 9, [i // 2 for i in range(18)]) == (0.5, None)


@settings(deadline=None)  # a machine that does other work is slow
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_near_duplicates_add_no_certainty(rows):
    hits, clusters = zip(*(rows + [(bool(i % 3), 10 + i) for i in range(10)]), strict=True)
    share, (low, high) = clustered_share(hits, clusters)
    assert share == pytest.approx(sum(hits) / len(hits)) and 0 <= low <= share <= high <= 1
    repeated = clustered_share(hits * 5, clusters * 5)
    assert repeated[1] == pytest.approx((low, high))
    assert high - low >= (lambda i: i[1] - i[0])(share_with_interval(sum(hits), len(hits))[1]) - 1e-9


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_clusters_of_unequal_size_are_covered(p):
    """71 clusters, one of them with 49 rows, each hit or missed whole: taking them for 71 trials covers 0.7 to 0.8."""
    sizes = np.array([49, 40, 30, 25, 20, 15, *[10] * 10, *[5] * 20, *[2] * 35])
    clusters, draw = np.repeat(np.arange(len(sizes)), sizes), np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        low, high = clustered_share((draw.random(len(sizes)) < p)[clusters], clusters)[1]
        covered += low <= p <= high
    assert covered / 300 > 0.93


def test_no_rows_have_no_share():
    with pytest.raises(ValueError, match="at least one row"):
        clustered_share([], [])
