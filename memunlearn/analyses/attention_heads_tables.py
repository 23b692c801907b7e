"""The tables of `attention_heads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from memunlearn.analyses.heads_by_group import GroupOfRows
from memunlearn.statistics.estimates import number_or_none, numbers_or_none

Table = dict[str, list[Any]]


def make_tables(groups: Mapping[str, GroupOfRows]) -> dict[str, Table]:
    """A row a group, layer and head; and rank (0: rarest); and other head of the layer. Entropy in nats.

    tau_p, tau_within_positions_p: corrected for all heads of the group, from frequencies shuffled over token types.
    """
    return {
        "attention_heads": _heads(groups),
        "attention_heads_ranks": _last_axis(groups, "rank", "attention", lambda group: group.by_rank),
        "attention_heads_correlation": _last_axis(groups, "other_head", "correlation", lambda group: group.correlation),
    }


def _heads(groups: Mapping[str, GroupOfRows]) -> Table:
    table: Table = {}
    for name, group in groups.items():
        for layer, head in np.ndindex(group.taus.tau.shape):
            taus, entropy = group.taus, group.entropy.numbers((layer, head))
            others = group.with_others.numbers((layer, head))
            cells = {
                "set": name,
                "layer": layer,
                "head": head,
                "rows": group.rows,
                "tau": number_or_none(float(taus.tau[layer, head])),
                "tau_p": number_or_none(float(taus.tau_p[layer, head])),
                "tau_rows": int(group.tau_rows[layer, head]),
                "tau_within_positions": number_or_none(float(taus.within[layer, head])),
                "tau_within_positions_p": number_or_none(float(taus.within_p[layer, head])),
                "entropy": entropy["value"],
                "entropy_low": entropy["low"],
                "entropy_high": entropy["high"],
                "correlation_with_others": others["value"],
                "correlation_with_others_low": others["low"],
                "correlation_with_others_high": others["high"],
                "anti_correlated": (layer, head) in group.contrary_heads,
            }
            for key, value in cells.items():
                table.setdefault(key, []).append(value)
    return table


def _last_axis(groups: Mapping[str, GroupOfRows], axis: str, key: str, of: Any) -> Table:
    table: Table = {"set": [], "layer": [], "head": [], axis: [], key: []}
    for name, group in groups.items():
        values = of(group)
        layers, heads, places = np.indices(values.shape).reshape(3, -1).tolist()
        table["set"] += [name] * values.size
        table["layer"] += layers
        table["head"] += heads
        table[axis] += places
        table[key] += numbers_or_none(values.flatten())
    return table
