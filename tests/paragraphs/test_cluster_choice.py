"""Whole clusters in groups: the shares hold, every group has some, and no cluster has its place for good."""

import numpy as np
import pytest

from memunlearn.paragraphs.cluster_choice import (
    halves_and_quarters,
    hold_out_quarter,
    number_generator,
    share_of_clusters,
    whole_clusters,
)

SHARES = np.array([0.5, 0.25, 0.25])


def rows_of(sizes):
    """(rows, the cluster of each), cluster numbers shuffled so that they say nothing of size."""
    names = np.random.default_rng(0).permutation(len(sizes))
    clusters = np.repeat(names, sizes)
    return np.arange(len(clusters)), clusters, names


def splits(sizes, seeds):
    rows, clusters, names = rows_of(sizes)
    for seed in range(seeds):
        groups = halves_and_quarters(rows, clusters, number_generator(seed, "retain"))
        assert sorted(np.concatenate(groups).tolist()) == rows.tolist()
        homes = [set(clusters[group].tolist()) for group in groups]
        assert not homes[0] & homes[1] and not homes[1] & homes[2] and not homes[0] & homes[2]
        yield [len(group) for group in groups], [next(n for n in range(3) if name in homes[n]) for name in names]


@pytest.mark.parametrize("sizes", [[49, 30, 20, 12, 9] + [1] * 160, [40] + [1] * 60, [30, 30, 30, 30, 20, 20] + [2] * 30])
def test_the_place_of_a_large_cluster_is_drawn_in_proportion_to_the_shares(sizes):
    homes = np.array([home for _, home in splits(sizes, 160)])
    for cluster in np.flatnonzero(np.array(sizes) >= 9):
        share = np.bincount(homes[:, cluster], minlength=3) / 160
        assert np.abs(share - SHARES).max() < 0.12, (cluster, share)


@pytest.mark.parametrize("sizes", [[49, 30, 20, 12, 9] + [1] * 160, [3] * 133, [1] * 41, [8, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1]])
def test_no_group_exceeds_its_share_by_more_than_half_a_cluster(sizes):
    largest, total = max(sizes), sum(sizes)
    for lengths, _ in splits(sizes, 100):
        assert (np.array(lengths) - SHARES * total).max() <= largest / 2
    if sizes[-1] == 1 and len(sizes) > 100:  # small clusters make up for large ones: the mean share is exact
        mean = np.mean([lengths for lengths, _ in splits(sizes, 100)], axis=0) / total
        np.testing.assert_allclose(mean, SHARES, atol=0.02)


@pytest.mark.parametrize("sizes", [[300, 1, 1], [1, 1, 1], [2, 1, 1], [5, 5, 2, 1], [300, 200, 1], [1000, 1, 1, 1]])
def test_every_group_has_a_cluster_and_one_of_most_rows_is_in_the_first(sizes):
    for lengths, homes in splits(sizes, 50):
        assert min(lengths) > 0
        assert homes[0] == 0 or sizes[0] <= sum(sizes) / 2


def test_the_same_seed_is_the_same_split():
    rows, clusters, _ = rows_of([9, 7, 5] + [1] * 30)
    one, again, other = (halves_and_quarters(rows, clusters, number_generator(seed, "retain")) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_is_held_out_or_chosen_first_depends_on_the_seed_for_large_clusters_too():
    rows, clusters, names = rows_of([49, 30, 20] + [1] * 60)
    held_out, chosen = np.zeros((2, 3))
    for seed in range(200):
        kept, out = hold_out_quarter(rows, clusters, number_generator(seed, "bystander"))
        assert len(np.unique(clusters[out])) == 63 // 4 and len(kept) + len(out) == len(rows)
        first = whole_clusters(rows, clusters, len(rows) // 2, number_generator(seed, "forget"))
        held_out += np.isin(names[:3], clusters[out])
        chosen += np.isin(names[:3], clusters[first])
    assert (np.abs(held_out / 200 - 0.25) < 0.1).all() and ((chosen > 60) & (chosen < 190)).all()


def test_what_fits_nowhere_goes_where_most_is_lacking():
    """A few clusters of all sizes: whatever the draw, no group is over its share by more than half of the largest."""
    draws = np.random.default_rng(0)
    for seed in range(600):
        sizes = draws.integers(1, 8, size=draws.integers(3, 9))
        rows = np.arange(sizes.sum())
        groups = halves_and_quarters(rows, np.repeat(np.arange(len(sizes)), sizes), np.random.default_rng(seed))
        lengths = np.array([len(group) for group in groups])
        assert lengths.min() > 0 and (lengths - SHARES * len(rows)).max() <= max(sizes) / 2, (seed, sizes)


@pytest.mark.parametrize("sizes", [[1] * 24, [9, 4, 3, 1, 1, 1, 1], [5], []])
def test_a_share_of_the_clusters_is_taken_whole_and_a_larger_share_takes_them_too(sizes):
    rows, clusters, _ = rows_of(sizes)
    before: set[int] = set()
    for share in (0.0, 0.25, 0.5, 0.9, 1.0):
        left, taken = share_of_clusters(rows, clusters, share, number_generator(7, "protect"))
        assert sorted([*left, *taken]) == rows.tolist()
        homes = set(clusters[left].tolist()), set(clusters[taken].tolist())
        assert not homes[0] & homes[1] and len(homes[1]) == round(share * len(sizes))
        assert before <= homes[1]
        before = homes[1]
    assert not len(left)


def test_which_clusters_a_share_takes_depends_on_the_seed():
    rows, clusters, _ = rows_of([3] * 20)
    drawn = {tuple(share_of_clusters(rows, clusters, 0.5, number_generator(seed, "protect"))[1]) for seed in range(5)}
    assert len(drawn) == 5
