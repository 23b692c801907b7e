import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from memunlearn.statistics.proportions import share_with_interval


def test_none_of_32_allows_up_to_11_percent():
    share, (low, high) = share_with_interval(0, 32)
    assert (share, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - 0.025 ** (1 / 32))  # the p at which none of 32 still happens once in 40
    assert 0.105 < high < 0.11


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
