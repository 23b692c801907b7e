"""Choosing rows so that clusters stay whole. Rows are positions [n]; `clusters` [N] holds each position's cluster number."""

from __future__ import annotations

import zlib

import numpy as np

from memunlearn.errors import UserError


def number_generator(seed: int, purpose: str) -> np.random.Generator:
    """A stream of its own for each purpose: one cap does not change what another set gets. Raises UserError for seed < 0."""
    if seed < 0:
        raise UserError(f"seed={seed} is negative: set seed to 0 or more")
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def whole_clusters(rows: np.ndarray, clusters: np.ndarray, limit: int, generator: np.random.Generator) -> np.ndarray:
    """The first `limit` rows with clusters in random order: all clusters whole, but possibly the last."""
    return _in_cluster_order(rows, clusters, generator.permutation(np.unique(clusters[rows])))[:limit]


def thin(rows: np.ndarray, clusters: np.ndarray, limit: int | None, generator: np.random.Generator) -> np.ndarray:
    """At most `limit` rows from as many clusters as possible: first one row of each, in random order, then a second one...

    Whole clusters would let one large group of near-duplicates use up the limit.
    """
    if limit is None or len(rows) <= limit:
        return rows
    ordered = _in_cluster_order(rows, clusters, generator.permutation(np.unique(clusters[rows])))
    _, first, size = np.unique(clusters[ordered], return_index=True, return_counts=True)
    start = np.repeat(np.sort(first), size[np.argsort(first)])
    turn = np.arange(len(ordered)) - start
    return ordered[np.argsort(turn, kind="stable")][:limit]


def hold_out_quarter(rows: np.ndarray, clusters: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The rows of three quarters of the clusters and of one quarter (rounded down: none below 4 clusters)."""
    order = generator.permutation(np.unique(clusters[rows]))
    held_out = np.isin(clusters[rows], order[: len(order) // 4])
    return rows[~held_out], rows[held_out]


def share_of_clusters(
    rows: np.ndarray, clusters: np.ndarray, share: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the other clusters, and of this share 0..1 of them (rounded), which a larger share would take too."""
    order = generator.permutation(np.unique(clusters[rows]))
    taken = np.isin(clusters[rows], order[: round(share * len(order))])
    return rows[~taken], rows[taken]


def halves_and_quarters(rows: np.ndarray, clusters: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Three groups of whole clusters with about 1/2, 1/4 and 1/4 of the rows; none is empty if there are 3 clusters or more.

    Largest clusters go first, each to a group that is drawn in proportion to what it still lacks, among those that lack at
    least half of it: so a large cluster is in any group for some seeds, and the small ones make up for it. One of more than
    half of all rows is in the first, whose share it exceeds the least.
    """
    labels, size = np.unique(clusters[rows], return_counts=True)
    shuffled = generator.permutation(len(labels))
    missing = len(rows) * np.array([0.5, 0.25, 0.25])
    group_of = np.empty(len(labels), dtype=np.int64)
    empty = np.ones(3, dtype=bool)
    for done, place in enumerate(shuffled[np.argsort(-size[shuffled], kind="stable")]):
        # As many clusters are left as groups without one: each of these gets one.
        open_groups = empty if len(labels) - done <= empty.sum() else np.ones(3, dtype=bool)
        lacking = np.where(open_groups, missing, -np.inf)
        fitting = lacking >= size[place] / 2
        chances = np.where(fitting, missing, 0) if fitting.any() else lacking == lacking.max()
        group_of[place] = generator.choice(3, p=chances / chances.sum())
        missing[group_of[place]] -= size[place]
        empty[group_of[place]] = False
    group = group_of[np.searchsorted(labels, clusters[rows])]
    return [rows[group == number] for number in range(3)]


def _in_cluster_order(rows: np.ndarray, clusters: np.ndarray, order: np.ndarray) -> np.ndarray:
    place = np.empty(clusters.max(initial=-1) + 1, dtype=np.int64)
    place[order] = np.arange(len(order))
    return rows[np.argsort(place[clusters[rows]], kind="stable")]
