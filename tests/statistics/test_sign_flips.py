"""Paired differences over seeds: p-values by hand, against all flips written out, and their level over many cells."""

from itertools import product

import numpy as np
import pytest

from memunlearn.statistics import sign_flips
from memunlearn.statistics.sign_flips import above_zero_p

RNG = np.random.default_rng(5)


def test_the_flip_that_changes_nothing_is_one_of_them():
    assert above_zero_p([[1.0], [1], [1], [1], [1]]).tolist() == [1 / 32]
    assert above_zero_p([[-1.0], [-1], [-1], [-1], [-1]]).tolist() == [1.0]
    assert above_zero_p([[2.0], [1]]).tolist() == [1 / 4]  # 3, 1, -1, -3
    assert above_zero_p([[2.0], [-1]]).tolist() == [2 / 4]


def test_drawn_flips_count_the_plain_one_too(monkeypatch):
    monkeypatch.setattr(sign_flips, "ALL_FLIPS_UP_TO", 3)
    monkeypatch.setattr(sign_flips, "FLIPS", 4)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Minus())
    assert above_zero_p([[1.0], [1], [1], [1]]).tolist() == [1 / 5]


class Minus:
    """Draws -1 only: no flip drawn comes near."""

    def choice(self, values, size):
        return np.full(size, -1.0)


@pytest.mark.parametrize("at_once", [1, 10**6])
def test_every_p_is_that_of_all_flips_over_all_cells(at_once, monkeypatch):
    monkeypatch.setattr(sign_flips, "NUMBERS_AT_ONCE", at_once)
    values = RNG.normal(0.3, 1, size=(6, 4))
    values[:, 3] *= 1000  # units do not matter
    values[2, 1] = np.nan

    def statistics(signs):
        flipped = values * np.array(signs)[:, None]
        return np.nansum(flipped, 0) / np.sqrt(np.nansum(np.square(values), 0))

    highest = [statistics(signs).max() for signs in product((1, -1), repeat=6)]
    expected = [np.mean(np.array(highest) >= one - 1e-9) for one in statistics([1] * 6)]
    assert above_zero_p(values).tolist() == pytest.approx(expected)


def test_zeros_are_not_above_zero_and_nothing_is_nan():
    p = above_zero_p(np.stack([np.zeros(5), np.full(5, np.nan), np.ones(5)], 1))
    assert p[0] == 1 and np.isnan(p[1]) and p[2] == 1 / 32


@pytest.mark.parametrize("draw", ["normal", "heavy tails"])
def test_over_many_cells_chance_is_called_above_zero_in_few_of_100(draw):
    """Cells of a seed go together (one paragraph, one plant)."""
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shared, own = rng.normal(size=(10, 1)), rng.normal(size=(10, 48))
        values = shared + own if draw == "normal" else rng.standard_t(2, size=(10, 48))
        false += above_zero_p(values).min() < 0.05
    assert false <= 9


def test_a_difference_that_is_there_is_found_among_many_cells():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(10, 48))
    values[:, 7] += 4
    assert above_zero_p(values)[7] < 0.05
