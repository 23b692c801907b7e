"""Attention heads compared over groups of rows: what the tables and figures of `attention_heads` are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.localization.attention_heads import HeadAttention
from memunlearn.statistics.estimates import Estimates, means_with_intervals
from memunlearn.statistics.kendall import tau_within_columns

GROUPS = ("all", "memorized", "non-memorized")
SETS_OF = {"all": (0, 1, 2), "memorized": (0,), "non-memorized": (1,)}
"""Set 2: rows that are neither."""
AGAINST = -1e-9
"""A mean correlation below this is negative: 0 is not, nor what rounding makes of it."""


@dataclass(frozen=True, eq=False)
class GroupOfRows:
    """One group, by layer and head; NaN where there is nothing.

    tau, entropy: [L, H], means over rows. within: [L, H], tau-b over rows at the same position, mean over positions.
    by_rank: [L, H, P], mean attention per occurrence by dense frequency rank (0: rarest). correlation: [L, H, H] between the
    heads of a layer over all occurrences. with_others: [L, H], mean over rows of a row's mean correlation with the other heads.
    """

    rows: int
    tau: Estimates
    entropy: Estimates
    within: np.ndarray
    by_rank: np.ndarray
    correlation: np.ndarray
    with_others: Estimates

    @property
    def rare_head(self) -> tuple[int, int] | None:
        """(layer, head) with the lowest tau; None where no head has one."""
        if np.isnan(self.tau.value).all():
            return None
        layer, head = np.unravel_index(np.nanargmin(self.tau.value), self.tau.value.shape)
        return int(layer), int(head)

    @property
    def contrary_heads(self) -> list[tuple[int, int]]:
        """(layer, head) of those whose mean correlation with the other heads of their layer has an interval below 0.

        The interval is of each head by itself, not corrected for their number. None where there is no interval.
        """
        return [(int(layer), int(head)) for layer, head in np.argwhere(self.with_others.high < AGAINST)]


def group_rows(
    found: HeadAttention, sets: Tensor, clusters: np.ndarray, within: Mapping[str, np.ndarray], seed: int
) -> dict[str, GroupOfRows]:
    """Those groups that have rows. sets: [n], 0 memorized, 1 non-memorized, 2 neither; within: by group, as in GroupOfRows."""
    groups = {}
    number = len(found.rank_sums)
    for name in GROUPS:
        numbers = [one for one in SETS_OF[name] if one < number]
        member = torch.isin(sets, torch.tensor(numbers, dtype=torch.int64)).numpy()
        if not member.any():
            continue
        groups[name] = GroupOfRows(
            rows=int(member.sum()),
            tau=means_with_intervals(found.tau.numpy()[member], clusters[member], seed),
            entropy=means_with_intervals(found.entropy.numpy()[member], clusters[member], seed),
            within=within[name],
            by_rank=found.by_rank(numbers).numpy(),
            correlation=found.head_correlation(numbers).numpy(),
            with_others=means_with_intervals(found.with_others.numpy()[member], clusters[member], seed),
        )
    return groups


def tau_within_positions(attention: np.ndarray, frequency: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """tau-b over rows at each position, averaged over positions: attention [n, L, H, P], frequency [n, P] -> [L, H]."""
    _, layers, heads, _ = attention.shape
    taus = np.full((layers, heads), np.nan)
    for layer, head in np.ndindex(layers, heads):
        tau, _ = tau_within_columns(attention[:, layer, head], frequency, clusters)
        taus[layer, head] = np.nan if tau is None else tau
    return taus
