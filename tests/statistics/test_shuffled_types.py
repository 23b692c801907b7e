"""P-values by hand, and their level and power where the truth is known."""

import numpy as np
import pytest
from scipy.stats import norm

from memunlearn.statistics.shuffled_types import linked_p, max_p, named_p, shuffles

RNG = np.random.default_rng(4)


def test_frequencies_are_shuffled_over_types_and_stay_first_as_they_are():
    frequency = np.array([9.0, 1, 4, 4, 7])
    found = shuffles(frequency, 40, seed=2)
    assert found.shape == (41, 5) and found[0].tolist() == frequency.tolist()
    assert (np.sort(found, 1) == np.sort(frequency)).all() and len(np.unique(found, axis=0)) > 20
    assert np.array_equal(found, shuffles(frequency, 40, seed=2)) and not np.array_equal(found, shuffles(frequency, 40, seed=3))
    with pytest.raises(ValueError, match="at least one"):
        shuffles(frequency, 0)


def test_the_observed_assignment_is_one_of_the_shuffles():
    """Four shuffles, none of which comes close: 1 of 5, never 0 of 4."""
    assert max_p([[9.0], [1], [-1], [2], [-2]]) == pytest.approx(1 / 5)
    assert named_p([9.0, 1, -1, 2, -2]) == pytest.approx(2 / 5)
    # One shuffle reaches it exactly: (1 + 1) / (1 + 4).
    assert max_p([[3.0], [1], [-1], [-3], [0]]) == pytest.approx(2 / 5)
    assert named_p([3.0, 1, -1, -3, 3]) == pytest.approx(2 * 2 / 5)


def test_no_p_is_below_that_of_the_normal_distribution():
    shuffled = RNG.normal(size=(5000, 3)) / 4
    p = linked_p(np.concatenate([[[2.0, 0.1, np.nan]], shuffled]))
    assert p[0] == pytest.approx(1 - (1 - 2 * norm.sf(2)) ** 2) and p[1] > 0.9 and np.isnan(p[2])
    assert named_p(np.concatenate([[2.0], shuffled[:, 0]])) == pytest.approx(2 * norm.sf(2))
    wide = np.concatenate([[[2.0, 0.1]], 9 * RNG.normal(size=(500, 2))])
    assert np.array_equal(linked_p(wide), max_p(wide)) and named_p(wide[:, 0]) > 2 * norm.sf(2)


def test_a_cell_is_corrected_for_all_of_them():
    """Deviations by hand: each cell has mean 0; its spread is divided out, so the second cell's units do not matter."""
    one, other = np.array([3.0, -1, -1, -1]), np.array([100.0, 100, 100, -300])
    spread = np.sqrt([12 / 4, 120_000 / 4])
    largest = np.maximum(np.abs(one) / spread[0], np.abs(other) / spread[1])
    expected = [np.mean(largest >= abs(values[0]) / s - 1e-9) for values, s in zip((one, other), spread, strict=True)]
    assert expected == [2 / 4, 4 / 4]
    assert max_p(np.stack([one, other], 1)).tolist() == expected


def test_cells_without_a_statistic_or_without_spread():
    statistics = RNG.normal(size=(20, 2, 3))
    statistics[:, 0, 1] = np.nan
    statistics[:, 1, 2] = 0.25
    p = max_p(statistics)
    assert p.shape == (2, 3) and np.isnan(p[0, 1]) and p[1, 2] == 1 and (p[0, 0] > 0) and np.isnan(named_p([np.nan, 1, 2]))
    assert named_p(np.full(9, 0.25)) == 1


def test_a_cell_that_is_chosen_for_being_low_is_measured_against_such_cells():
    """The lowest of 30: all shuffles lie below 0, and one that is no lower than they are is not called low."""
    lowest = np.random.default_rng(1).normal(size=(2000, 30)).min(1)
    p = [named_p(np.concatenate([lowest[[one]], lowest[1000:]])) for one in range(300)]
    assert np.mean(np.array(p) < 0.05) < 0.1 and np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.1)
    assert named_p(np.concatenate([[-9.0], lowest])) == pytest.approx(2 / 2001)
