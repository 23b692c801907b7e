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


def whole_shares(p, permutations):
    """Whether each p is a number of permutations, the observed one among them, over how many there are with it."""
    count = np.asarray(p) * (1 + permutations)
    return bool((np.abs(count - np.round(count)) < 1e-9).all() and count.min() > 1 - 1e-9)


@pytest.mark.parametrize("permutations", [22, 100])
def test_p_of_many_cells_is_a_share_of_the_permutations_with_the_observed_one(permutations):
    draws = np.random.default_rng(4)
    values, in_group = draws.normal(size=(26, 4)) + np.linspace(0, 1, 4), np.arange(26) < 12
    values[:12, 3] += 0.8
    found = max_t(values, in_group, np.arange(26), permutations)
    assert whole_shares(found.p, permutations) and 0 < found.p.min() < 1


def test_p_of_two_groups_is_a_share_of_the_permutations_with_the_observed_one(monkeypatch):
    monkeypatch.setattr(two_groups, "PERMUTATIONS", 99)
    apart = mean_difference(APART, IN_SECOND, np.arange(60)).p_value
    some = mean_difference(np.sin(np.arange(60.0) ** 2), IN_SECOND, np.arange(60)).p_value
    assert whole_shares([apart, some], 99) and apart <= 2 / 100 < some


def test_the_smallest_p_across_seeds_is_that_of_the_observed_signs(monkeypatch):
    assert paired_p_value([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 2**5)
    monkeypatch.setattr(seeds, "FLIPS", 99)
    assert paired_p_value(np.arange(1.0, 31.0)) == pytest.approx(2 / 100)
