"""Heads compared over groups of rows, the head that prefers rare tokens most, and what memorized text does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.attention_heads.measure import Measured
from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.localization.attention_heads import by_rank, frequency_ranks, head_correlation
from memunlearn.localization.frequency_of_heads import GROUPS, SETS_OF, HeadTaus
from memunlearn.statistics.estimates import Estimates, means_with_intervals, number_or_none
from memunlearn.statistics.two_groups import NOTHING, Comparison, mean_difference

AGAINST = -1e-9
"""A mean correlation below this is negative: 0 is not, nor what rounding makes of it."""


@dataclass(frozen=True, eq=False, kw_only=True)
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


@dataclass(frozen=True, eq=False)
class Compared:
    """groups: by name, those that have rows. numbers: the key numbers. named: (layer, head) of the head that prefers rare
    tokens most, None where no head has a tau; difference: of its tau, memorized minus non-memorized, over clusters; curves: by
    set and "named" or "others" (of its layer), mean attention per occurrence by rank [P].
    """

    groups: Mapping[str, GroupOfRows]
    numbers: dict[str, Any]
    named: tuple[int, int] | None
    difference: Comparison
    curves: Mapping[tuple[str, str], Estimates]


def compare(measured: Measured, permutations: int, seed: int) -> Compared:
    groups, links = group_rows(measured, seed), measured.links
    numbers: dict[str, Any] = {
        "rows": {name: group.rows for name, group in groups.items()},
        "clusters": len(np.unique(measured.clusters)),
        "within_rows": measured.within,
        "token_types": links.types,
        "permutations": permutations,
        "visible_positions": measured.attention["visible"].tolist(),
        "rare_token_head": None,
        "rare_token_head_of": {
            name: None if group.rare_head is None else _describe(group, group.rare_head) for name, group in groups.items()
        },
        "heads_linked_to_frequency": {name: _linked(group) for name, group in groups.items()},
        "anti_correlated_heads": {
            name: [
                {"layer": head[0], "head": head[1], "correlation": group.with_others.numbers(head)}
                for head in group.contrary_heads
            ]
            for name, group in groups.items()
        },
    }
    if links.named is None:
        return Compared(groups, numbers, None, NOTHING, {})
    difference = _difference(measured, seed)
    numbers["rare_token_head"] = _named(measured, groups, difference, seed)
    return Compared(groups, numbers, links.named.head, difference, _curves(measured, links.named.head, seed))


def group_rows(measured: Measured, seed: int) -> dict[str, GroupOfRows]:
    """Those groups that have rows."""
    attention, groups = measured.attention, {}
    for name in GROUPS:
        numbers = [which for which in SETS_OF[name] if which < len(attention["rank_sums"])]
        member = np.isin(measured.sets, numbers)
        if not member.any():
            continue
        groups[name] = GroupOfRows(
            rows=int(member.sum()),
            taus=measured.links.groups[name],
            tau_rows=(~attention["tau"][member].isnan()).sum(0).numpy(),
            entropy=_mean_over_rows(measured, attention["entropy"], member, seed),
            by_rank=by_rank(attention, numbers).numpy(),
            correlation=head_correlation(attention, numbers).numpy(),
            with_others=_mean_over_rows(measured, attention["with_others"], member, seed),
        )
    return groups


def _mean_over_rows(measured: Measured, values: Tensor, member: np.ndarray, seed: int) -> Estimates:
    """Of values [n, L, H] over the members [n] bool, each cluster counting once."""
    rows = values.numpy()[member]
    sizes = np.broadcast_to(measured.shares[member][:, None, None], rows.shape)
    return means_with_intervals(rows, measured.clusters[member], seed, sizes=sizes)


def _describe(group: GroupOfRows, head: tuple[int, int]) -> dict[str, Any]:
    return {
        "layer": head[0],
        "head": head[1],
        "tau": {"value": number_or_none(group.taus.tau[head]), "p_value": number_or_none(group.taus.tau_p[head])},
        "tau_within_positions": {
            "value": number_or_none(group.taus.within[head]),
            "p_value": number_or_none(group.taus.within_p[head]),
        },
        "entropy": group.entropy.numbers(head),
        "correlation_with_others": group.with_others.numbers(head),
    }


def _linked(group: GroupOfRows) -> list[dict[str, Any]]:
    """Heads whose tau is not chance, corrected for all of them."""
    where = np.argwhere(group.taus.tau_p < SIGNIFICANT).tolist()
    tau, p = group.taus.tau, group.taus.tau_p
    return [
        {"layer": layer, "head": head, "tau": float(tau[layer, head]), "p_value": float(p[layer, head])}
        for layer, head in where
    ]


def _named(measured: Measured, groups: Mapping[str, GroupOfRows], difference: Comparison, seed: int) -> dict[str, Any]:
    named, clusters = measured.links.named, measured.clusters
    assert named is not None
    tested = named.tested
    others = _mean_over_rows(measured, measured.attention["with_others"], tested, seed) if tested.any() else None
    return {
        "layer": named.head[0],
        "head": named.head[1],
        "named_on": {"rows": int((~tested).sum()), "clusters": len(np.unique(clusters[~tested]))},
        "tested_on": {"rows": int(tested.sum()), "clusters": len(np.unique(clusters[tested]))},
        "tau": {"value": named.tau, "p_value": named.p},
        "tau_in_sets": dict(named.in_sets),
        "difference": {
            "value": named.difference,
            "p_value_over_clusters": difference.p_value,
            "p_value_over_types": named.difference_p,
        },
        "correlation_with_others": None if others is None else others.numbers(named.head),
        "groups": {name: _describe(group, named.head) for name, group in groups.items()},
    }


def _difference(measured: Measured, seed: int) -> Comparison:
    """Memorized minus non-memorized rows of the tested half, a value a cluster and set: what clusters say of it."""
    named, clusters = measured.links.named, measured.clusters
    assert named is not None
    taus = measured.attention["tau"][:, named.head[0], named.head[1]].numpy()
    values, labels, first = [], [], []
    for which in (0, 1):
        members = named.tested & (measured.sets == which)
        for cluster in np.unique(clusters[members]):
            of_cluster = taus[members & (clusters == cluster)]
            if not np.isnan(of_cluster).all():
                values.append(np.nanmean(of_cluster))
                labels.append(cluster)
                first.append(which == 0)
    return mean_difference(values, first, labels, seed)


def _curves(measured: Measured, named: tuple[int, int], seed: int) -> dict[tuple[str, str], Estimates]:
    of_layer = measured.attention["attention"][:, named[0]].double()
    own = of_layer[:, named[1]]
    others = (of_layer.sum(1) - own) / (of_layer.shape[1] - 1 or torch.nan)
    ranks = frequency_ranks(measured.frequency)
    curves = {}
    for which, values in (("named", own), ("others", others)):
        counts = torch.zeros_like(values).scatter_add_(1, ranks, (~values.isnan()).double())
        sums = torch.zeros_like(values).scatter_add_(1, ranks, values.nan_to_num())
        means = torch.where(counts > 0, sums / counts, torch.nan).numpy()
        sizes = counts.numpy() * measured.shares[:, None]
        for place, name in enumerate(("memorized", "non-memorized")):
            member = measured.sets == place
            if member.any():
                clusters = measured.clusters[member]
                curves[name, which] = means_with_intervals(means[member], clusters, seed, sizes=sizes[member])
    return curves
