"""p-values of tiny cases that can be worked out by hand: what was observed counts as one of the permutations."""

import numpy as np
import pytest

from memunlearn.statistics import seeds, two_groups
from memunlearn.statistics.permutation import max_t
from memunlearn.statistics.seeds import paired_p_value
from memunlearn.statistics.two_groups import mean_difference

APART = np.r_[np.zeros(30), np.ones(30)] + np.linspace(0, 0.01, 60)
IN_SECOND = np.arange(60) >= 30


@pytest.mark.parametrize("permutations", [1, 9, 99])
def test_the_smallest_p_of_many_cells_is_one_in_all_permutations_and_the_observed(permutations):
    """Of 1.2e17 assignments no drawn one reaches a perfect separation; a constant cell is reached by every one."""
    cells = np.stack([APART, -APART, np.full(60, 3.0)], 1)
    found = max_t(cells, IN_SECOND, np.arange(60), permutations)
    np.testing.assert_allclose(found.p, [1 / (1 + permutations), 1 / (1 + permutations), 1.0], rtol=1e-12)


def test_p_of_many_cells_counts_the_drawn_assignments_that_reach_it_in_any_cell():
    draws = np.random.default_rng(4)
    values, in_group = draws.normal(size=(9, 3)), np.arange(9) < 4
    found = max_t(values, in_group, np.arange(9), permutations=23, seed=6)
    assigned = np.random.default_rng(6).permuted(np.tile(in_group, (23, 1)), axis=1)
    reached = np.zeros(3)
    for group in assigned:
        a, b = values[group], values[~group]
        t = (a.mean(0) - b.mean(0)) / np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
        reached += np.abs(t).max() >= np.abs(found.t) - 1e-9
    np.testing.assert_allclose(found.p, (1 + reached) / 24, rtol=1e-12)
    assert 0 < reached.min() < 23


def test_p_of_two_groups_is_exact_where_all_relabellings_are_made():
    values, first = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2]), np.arange(6) < 3
    assert mean_difference(values, first, np.arange(6)).p_value == pytest.approx(2 / 20)


def test_the_smallest_p_of_two_groups_is_that_of_the_observed_among_drawn_ones(monkeypatch):
    monkeypatch.setattr(two_groups, "PERMUTATIONS", 99)
    assert mean_difference(APART, IN_SECOND, np.arange(60)).p_value == pytest.approx(2 / 100)


def test_the_smallest_p_across_seeds_is_that_of_the_observed_signs(monkeypatch):
    assert paired_p_value([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 2**5)
    monkeypatch.setattr(seeds, "FLIPS", 99)
    assert paired_p_value(np.arange(1.0, 31.0)) == pytest.approx(2 / 100)
