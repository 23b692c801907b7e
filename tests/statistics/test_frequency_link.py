"""tau and z of every assignment of frequencies, against loops over pairs and against scipy."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from memunlearn.statistics import frequency_link
from memunlearn.statistics.frequency_link import link, link_across
from memunlearn.statistics.shuffled_types import shuffles

RNG = np.random.default_rng(7)
N, CELLS, P, TYPES = 6, 3, 8, 11


@pytest.fixture(scope="module")
def inputs():
    values = RNG.normal(size=(N, CELLS, P)).astype(np.float32)
    values[0, :, :3] = np.nan
    values[1, 1] = np.nan
    values[2, 2] = 0.5  # no tau
    values[3, 0, 4] = values[3, 0, 5]
    types = RNG.integers(0, TYPES, (N, P))
    types[4] = 2  # one type everywhere: no tau under any assignment
    frequencies = shuffles([5, 5, 5, 9, 1, 2, 2, 8, 7, 3, 4], 4)
    return values, types, frequencies, np.array([1.0, 2.0, 0.5, 1.0, 3.0, 0.25])


def naive(values, types, frequency, weights, pair_weights=None):
    """(tau, z) of one cell: values, types [n, P], weights [n]."""
    pairs = np.ones((values.shape[1],) * 2) if pair_weights is None else pair_weights
    sums, taus = np.zeros(len(frequency)), []
    for x, kinds in zip(values, types, strict=True):
        by_type, in_x, in_y = np.zeros(len(frequency)), 0.0, 0.0
        for i in range(len(x)):
            for j in range(len(x)):
                if i == j or np.isnan(x[i]) or np.isnan(x[j]):
                    continue
                one, other = np.sign(x[i] - x[j]), np.sign(frequency[kinds[i]] - frequency[kinds[j]])
                by_type[kinds[i]] += pairs[i, j] * one * other
                in_x += pairs[i, j] * abs(one)
                in_y += pairs[i, j] * abs(other)
        taus.append(None if in_x * in_y == 0 else by_type / np.sqrt(in_x * in_y))
    for sign in (1, -1):
        of_sign = [(tau, abs(w)) for tau, w in zip(taus, weights, strict=True) if tau is not None and w * sign > 0]
        sums += sum((sign * w * tau for tau, w in of_sign), np.zeros(len(frequency))) / (sum(w for _, w in of_sign) or 1)
    return sums.sum(), sums.sum() / np.sqrt(np.square(2 * sums).sum())


@pytest.mark.parametrize("at_once", [1, 300, 10**7])
@pytest.mark.parametrize("signs", [(1, 1, 1, 1, 1, 1), (1, -1, 1, -1, 1, -1)])
def test_every_number_is_that_of_loops_over_pairs(inputs, at_once, signs, monkeypatch):
    monkeypatch.setattr(frequency_link, "CONTRIBUTIONS_AT_ONCE", at_once)
    monkeypatch.setattr(frequency_link, "SIGNS_OF_A_LIST", at_once)
    monkeypatch.setattr(frequency_link, "SIGNS_AT_ONCE", at_once)
    values, types, frequencies, weights = inputs
    weights = weights * signs
    found = link(*map(torch.from_numpy, (values, types)), frequencies, weights=torch.from_numpy(weights))
    for assignment, frequency in enumerate(frequencies):
        for cell in range(CELLS):
            tau, z = naive(values[:, cell], types, frequency, weights)
            assert found.tau[assignment, cell] == pytest.approx(tau, abs=1e-6)
            assert found.z[assignment, cell] == pytest.approx(z, abs=1e-5)


def test_tau_is_the_mean_of_scipys():
    values, types = RNG.normal(size=(20, 2, 12)), RNG.integers(0, 9, (20, 12))
    frequencies = shuffles(RNG.integers(0, 2**40, 9), 2)  # too large for fp32
    frequencies[:, frequencies[0].argmax()] += 1
    found = link(torch.from_numpy(values), torch.from_numpy(types), frequencies, weights=torch.ones(20))
    for assignment, cell in np.ndindex(3, 2):
        each = [kendalltau(values[row, cell], frequencies[assignment, types[row]]).statistic for row in range(20)]
        assert found.tau[assignment, cell] == pytest.approx(np.mean(each), abs=1e-6)


def test_nothing_to_compare_has_no_tau():
    frequencies = shuffles([1, 2, 3], 2)
    for shape in ((0, 2, 5), (3, 2, 1), (3, 2, 0)):
        found = link(
            torch.rand(shape), torch.zeros(shape[0], shape[2], dtype=torch.int64), frequencies, weights=torch.ones(shape[0])
        )
        assert found.tau.shape == found.z.shape == (3, 2) and np.isnan(found.tau).all() and np.isnan(found.z).all()


def test_across_rows_is_the_mean_of_scipys_over_places():
    values, types = RNG.normal(size=(15, 2, 5)), RNG.integers(0, 9, (15, 5))
    frequencies = shuffles(RNG.integers(0, 6, 9), 2)
    found = link_across(torch.from_numpy(values), torch.from_numpy(types), frequencies, np.arange(15))
    for assignment, cell in np.ndindex(3, 2):
        each = [kendalltau(values[:, cell, place], frequencies[assignment, types[:, place]]).statistic for place in range(5)]
        assert found.tau[assignment, cell] == pytest.approx(np.mean(each), abs=1e-6)


def test_what_places_have_in_common_does_not_count():
    place = np.arange(30)
    values = torch.from_numpy(RNG.normal(size=(40, 1, 30)) + 5 * place)
    types = torch.from_numpy(np.clip(place + RNG.integers(-2, 3, (40, 30)), 0, 29))  # later tokens are more frequent
    frequencies = shuffles(np.arange(30), 1)
    assert link(values, types, frequencies, weights=torch.ones(40)).tau[0, 0] > 0.8
    assert abs(link_across(values, types, frequencies, np.arange(40)).tau[0, 0]) < 0.1


def test_near_duplicates_are_not_compared_and_weigh_once():
    clusters = np.array([0, 0, 1, 2, 3, 3, 3])
    values, types = RNG.normal(size=(7, 1, 4)).astype(np.float32), RNG.integers(0, TYPES, (7, 4))
    frequencies = shuffles(RNG.integers(0, 6, TYPES), 1)
    share = np.array([1 / 2, 1 / 2, 1, 1, 1 / 3, 1 / 3, 1 / 3])
    pairs = np.outer(share, share) * (clusters[:, None] != clusters)
    found = link_across(torch.from_numpy(values), torch.from_numpy(types), frequencies, clusters)
    for assignment, frequency in enumerate(frequencies):
        tau, z = naive(values[:, 0].T, types.T, frequency, np.ones(4), pairs)
        assert found.tau[assignment, 0] == pytest.approx(tau, abs=1e-6) and found.z[assignment, 0] == pytest.approx(z, abs=1e-5)
