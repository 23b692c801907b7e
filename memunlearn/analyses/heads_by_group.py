"""Attention heads compared over groups of rows: what the tables and figures of `attention_heads` are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from memunlearn.analyses.frequency_of_heads import GROUPS, SETS_OF, HeadTaus
from memunlearn.localization.attention_heads import HeadAttention
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.statistics.estimates import Estimates, means_with_intervals

AGAINST = -1e-9
"""A mean correlation below this is negative: 0 is not, nor what rounding makes of it."""


@dataclass(frozen=True, eq=False)
class GroupOfRows:
    """One group, by layer and head; NaN where there is nothing. Each cluster counts once in every mean.

    taus: against frequency. tau_rows: [L, H], the rows that have a tau. entropy: [L, H], mean over rows.
    by_rank: [L, H, P], mean attention per occurrence by dense frequency rank (0: rarest). correlation: [L, H, H] between the
    heads of a layer over all occurrences. with_others: [L, H], mean over rows of a row's mean correlation with the other heads.
    """

    rows: int
    taus: HeadTaus
    tau_rows: np.ndarray
    entropy: Estimates
    by_rank: np.ndarray
    correlation: np.ndarray
    with_others: Estimates

    @property
    def rare_head(self) -> tuple[int, int] | None:
        """(layer, head) with the lowest tau; None where no head has one."""
        if np.isnan(self.taus.tau).all():
            return None
        layer, head = np.unravel_index(np.nanargmin(self.taus.tau), self.taus.tau.shape)
        return int(layer), int(head)

    @property
    def contrary_heads(self) -> list[tuple[int, int]]:
        """(layer, head) of those whose mean correlation with the other heads of their layer has an interval below 0.

        The interval is of each head by itself, not corrected for their number. None where there is no interval.
        """
        return [(int(layer), int(head)) for layer, head in np.argwhere(self.with_others.high < AGAINST)]


def group_rows(
    found: HeadAttention, sets: Tensor, clusters: np.ndarray, taus: Mapping[str, HeadTaus], seed: int
) -> dict[str, GroupOfRows]:
    """Those groups that have rows. sets: [n], 0 memorized, 1 non-memorized, 2 neither; taus: by group."""
    groups = {}
    number = len(found.rank_sums)
    weights = cluster_shares(clusters, sets.numpy())
    for name in GROUPS:
        numbers = [one for one in SETS_OF[name] if one < number]
        member = np.isin(sets.numpy(), numbers)
        if not member.any():
            continue
        groups[name] = GroupOfRows(
            rows=int(member.sum()),
            taus=taus[name],
            tau_rows=(~found.tau[member].isnan()).sum(0).numpy(),
            entropy=means_of_clusters(found.entropy, member, clusters, weights, seed),
            by_rank=found.by_rank(numbers).numpy(),
            correlation=found.head_correlation(numbers).numpy(),
            with_others=means_of_clusters(found.with_others, member, clusters, weights, seed),
        )
    return groups


def means_of_clusters(values: Tensor, member: np.ndarray, clusters: np.ndarray, weights: np.ndarray, seed: int) -> Estimates:
    """`means_with_intervals` of values [n, L, H] over the members [n] bool, each cluster counting once (`cluster_shares`)."""
    rows = values.numpy()[member]
    sizes = np.broadcast_to(weights[member][:, None, None], rows.shape)
    return means_with_intervals(rows, clusters[member], seed, sizes=sizes)
