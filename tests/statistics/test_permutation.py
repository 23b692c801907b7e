"""The max-T test: its level, its power, and the naive version of its statistic."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import ttest_ind

from memunlearn.statistics import intervals
from memunlearn.statistics.permutation import exchanged_and_flipped, max_t, mean_over_clusters

CELLS = 12


@pytest.fixture
def two_clusters_are_enough(monkeypatch):
    """So few clusters that every assignment can be looked at."""
    monkeypatch.setattr(intervals, "FEWEST_CLUSTERS", 2)


def clustered(draw, group_clusters=11, rest_clusters=13, between=1.0, within=0.3):
    """Rows of 1 to 6 a cluster; a cluster's rows share its level in every cell, and cells are correlated."""
    values, in_group, clusters = [], [], []
    for cluster in range(group_clusters + rest_clusters):
        level = between * (draw.normal(size=CELLS) + draw.normal())
        for _ in range(draw.integers(1, 7)):
            values.append(level + within * draw.normal(size=CELLS))
            in_group.append(cluster < group_clusters)
            clusters.append(cluster)
    return np.array(values), np.array(in_group), np.array(clusters)


def naive_units(values, in_group, clusters):
    members = {}
    for row, group, cluster in zip(values, in_group, clusters, strict=True):
        members.setdefault((bool(group), int(cluster)), []).append(row)
    means = {key: np.mean(rows, axis=0) for key, rows in members.items()}
    return [mean for key, mean in means.items() if key[0]], [mean for key, mean in means.items() if not key[0]]


def test_statistic_is_welchs_t_over_cluster_means():
    values, in_group, clusters = clustered(np.random.default_rng(0))
    result = max_t(values, torch.from_numpy(in_group), torch.from_numpy(clusters), permutations=10)
    group, rest = naive_units(values, in_group, clusters)
    assert (result.group_clusters, result.rest_clusters) == (11, 13)
    np.testing.assert_allclose(result.difference, np.mean(group, 0) - np.mean(rest, 0))
    np.testing.assert_allclose(mean_over_clusters(values[in_group], clusters[in_group]), np.mean(group, 0))
    assert np.isnan(mean_over_clusters(np.empty((0, 3)), [])).all()
    np.testing.assert_allclose(result.t, ttest_ind(group, rest, equal_var=False).statistic)


def test_p_is_the_share_of_assignments_or_of_signs_that_reach_it_in_any_cell(two_clusters_are_enough):
    values, in_group, clusters = clustered(np.random.default_rng(3), 3, 4)
    values[in_group, 4] += 3
    result = max_t(values, in_group, clusters, permutations=20_000)
    units = np.array([unit for side in naive_units(values, in_group, clusters) for unit in side])
    highest = []
    for chosen in itertools.combinations(range(7), 3):
        side = np.isin(np.arange(7), chosen)
        highest.append(np.abs(ttest_ind(units[side], units[~side], equal_var=False).statistic).max())
    exact = (np.array(highest)[:, None] >= np.abs(result.t) - 1e-9).mean(0)
    group, rest = units[:3], units[3:]
    weights = [len(side) / side.var(0, ddof=1) for side in (group, rest)]
    common = (weights[0] * group.mean(0) + weights[1] * rest.mean(0)) / (weights[0] + weights[1])
    flipped = []
    for signs in itertools.product((-1, 1), repeat=7):
        moved = (units - common) * np.array(signs)[:, None]
        flipped.append(np.abs(ttest_ind(moved[:3], moved[3:], equal_var=False).statistic).max())
    by_signs = (np.array(flipped)[:, None] >= np.abs(result.t) - 1e-9).mean(0)
    np.testing.assert_allclose(result.p, np.maximum(exact, by_signs), atol=0.015)
    assert (exact > by_signs + 0.02).any() and (by_signs > exact + 0.02).any()


def test_units_of_unequal_size_weigh_by_their_rows():
    values, in_group, clusters = clustered(np.random.default_rng(8))
    units = [(values[(clusters == c)].sum(0), (clusters == c).sum(), in_group[clusters == c][0]) for c in np.unique(clusters)]
    sums, sizes, sides = (np.array(part) for part in zip(*units, strict=True))
    difference, t, _ = exchanged_and_flipped(sums, sizes.astype(float), sides, 5, 0)
    np.testing.assert_allclose(difference, values[in_group].mean(0) - values[~in_group].mean(0))
    variance = 0
    for side in (sides, ~sides):
        mean = sums[side].sum(0) / sizes[side].sum()
        residuals = sums[side] - sizes[side, None] * mean
        variance = variance + (residuals**2).sum(0) / sizes[side].sum() ** 2 * side.sum() / (side.sum() - 1)
    np.testing.assert_allclose(t, difference / np.sqrt(variance))


def rejections(data_sets, exchange_rows=False, **shape):
    draw = np.random.default_rng(11)
    rejected = 0
    for seed in range(data_sets):
        values, in_group, clusters = clustered(draw, **shape)
        units = np.arange(len(values)) if exchange_rows else clusters
        rejected += bool((max_t(values, in_group, units, permutations=199, seed=seed).p <= 0.05).any())
    return rejected / data_sets


def at_most(level, data_sets):
    return level + 3 * np.sqrt(level * (1 - level) / data_sets)


def test_keeps_its_level_over_all_cells_where_nothing_differs():
    rate = rejections(300)
    assert 0.005 <= rate <= at_most(0.05, 300)
    assert rejections(300, group_clusters=10, rest_clusters=30) <= at_most(0.05, 300)


def test_loses_its_level_if_rows_are_exchanged_instead_of_clusters():
    assert rejections(100, exchange_rows=True) > 2 * at_most(0.05, 100)


@pytest.mark.parametrize(("group", "rest"), [(10, 10), (12, 40)])
def test_keeps_its_level_where_clusters_of_one_group_scatter_more(group, rest):
    """As single rows do beside large clusters. Of many cells, exchanging alone finds one in a fifth to a third of data sets."""
    draw = np.random.default_rng(5)
    rejected, groups = 0, np.arange(group + rest) < group
    for seed in range(200):
        wide, narrow = draw.normal(size=(group, 60)), 0.25 * draw.normal(size=(rest, 60))
        rejected += bool((max_t(np.concatenate([wide, narrow]), groups, np.arange(len(groups)), 199, seed).p <= 0.05).any())
    assert rejected / 200 <= at_most(0.05, 200)


def test_keeps_its_level_where_both_groups_are_skewed():
    """Flipping signs alone finds a cell in half of such data sets."""
    draw = np.random.default_rng(6)
    groups = np.arange(50) < 10
    rejected = [
        bool((max_t(draw.lognormal(size=(50, 60)), groups, np.arange(50), 199, seed).p <= 0.05).any()) for seed in range(200)
    ]
    assert np.mean(rejected) <= at_most(0.05, 200)


@pytest.mark.parametrize("shift", [2.5, -2.5])
def test_finds_a_planted_cell_and_only_that(shift):
    draw = np.random.default_rng(7)
    found = np.zeros(CELLS)
    for seed in range(20):
        values, in_group, clusters = clustered(draw, 15, 20, between=0.6)
        values[in_group, 5] += shift
        result = max_t(values, in_group, clusters, permutations=499, seed=seed)
        assert np.sign(result.difference[5]) == np.sign(shift)
        found += result.p <= 0.05
    assert found[5] >= 19
    assert np.delete(found, 5).max() <= 3


def test_constant_and_broken_cells_do_no_harm():
    values, in_group, clusters = clustered(np.random.default_rng(1))
    values[in_group, 3] += 6
    clean = max_t(values, in_group, clusters)
    odd = np.concatenate([values, np.full((len(values), 1), 0.1), values[:, :1], values[:, :1]], 1)
    odd[0, CELLS + 1], odd[1, CELLS + 2] = np.nan, np.inf
    result = max_t(odd, in_group, clusters)
    np.testing.assert_array_equal(result.p[:CELLS], clean.p)
    assert (result.difference[CELLS], result.t[CELLS], result.p[CELLS]) == (0, 0, 1)
    assert np.isnan([result.difference[CELLS + 1 :], result.t[CELLS + 1 :], result.p[CELLS + 1 :]]).all()


def test_perfect_separation_of_constants_is_finite():
    in_group = np.arange(24) < 12
    result = max_t(in_group[:, None] * 2.0, in_group, np.arange(24), permutations=999)
    assert np.isfinite(result.t).all() and result.difference == pytest.approx(2)
    assert result.p[0] == 1 / 1000  # no other assignment reaches it, and it is never 0


def test_a_cluster_on_both_sides_is_split(two_clusters_are_enough):
    values = np.array([[1.0], [3.0], [10.0], [5.0], [7.0]])
    result = max_t(values, [True, True, True, False, False], [0, 0, 1, 0, 2], permutations=9)
    assert (result.group_clusters, result.rest_clusters) == (2, 2)
    assert result.difference == pytest.approx((2 + 10) / 2 - (5 + 7) / 2)


def test_none_with_too_few_clusters_on_a_side():
    values = np.random.default_rng(0).normal(size=(30, 3))
    assert max_t(values, np.arange(30) < 10, range(30)) is not None
    assert max_t(values, np.arange(30) < 9, range(30)) is None
    assert max_t(values, np.arange(30) < 21, range(30)) is None
    assert max_t(values, np.arange(30) < 12, np.arange(30) // 2) is None
    assert max_t(values, [True] * 30, range(30)) is None and max_t(values, [False] * 30, range(30)) is None


def test_same_seed_same_numbers():
    values, in_group, clusters = clustered(np.random.default_rng(2))
    one, same, other = (max_t(values, in_group, clusters, 200, seed).p for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_permutations_in_parts_are_the_same(monkeypatch):
    values, in_group, clusters = clustered(np.random.default_rng(2))
    whole = max_t(values, in_group, clusters, 200, 4).p
    monkeypatch.setattr("memunlearn.statistics.permutation.NUMBERS_AT_ONCE", 7 * CELLS)
    np.testing.assert_array_equal(max_t(values, in_group, clusters, 200, 4).p, whole)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="must be"):
        max_t(np.zeros((4, 2)), [True, False], [0, 1, 2, 3])
    with pytest.raises(ValueError, match="at least one"):
        max_t(np.zeros((4, 2)), [True, True, False, False], range(4), permutations=0)
