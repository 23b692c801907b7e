"""What `attention_heads` says: a claim needs the other half of the clusters and the correction for all heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.analyses.heads_by_group import GroupOfRows
from memunlearn.analyses.in_words import direction, linked
from memunlearn.statistics.two_groups import Comparison
from memunlearn.words import number, p_value, rows, with_interval


def sentences_of(numbers: Mapping[str, Any], groups: Mapping[str, GroupOfRows], difference: Comparison) -> tuple[str, ...]:
    """numbers: of the finding; difference: of the named head's tau, memorized minus non-memorized, over clusters."""
    named = numbers["rare_token_head"]
    if named is None:
        return ("No head has a correlation with frequency: all tokens of every prefix are equally frequent.",)
    head = (named["layer"], named["head"])
    shape = groups["all"].taus.tau.shape
    said = [
        _frequency(numbers, shape[0] * shape[1]),
        _others(named, head),
        _contrary(groups["all"]),
    ]
    if named["difference"]["value"] is not None:
        said.append(_between_sets(named, difference))
    return tuple(said)


def _frequency(numbers: Mapping[str, Any], heads: int) -> str:
    named = numbers["rare_token_head"]
    tau, of_all = named["tau"], named["groups"]["all"]["tau"]
    within = named["groups"]["all"]["tau_within_positions"]
    verdict = linked(
        tau["value"],
        (tau["p_value"], of_all["p_value"]),
        numbers["clusters"],
        "so even this one prefers frequent tokens",
        "so it prefers rare tokens",
        "so no preference for rare tokens is seen in it",
    )
    at_position = linked(within["value"], (within["p_value"],), numbers["clusters"], "above chance", "below chance", "chance")
    return (
        f"Of {heads} heads, {_name(named)} has the lowest Kendall's tau between its attention and the tokens' corpus frequency "
        f"in one half of the clusters ({rows(named['named_on']['rows'])}); in the other half "
        f"({rows(named['tested_on']['rows'])}) it is {number(tau['value'])} ({p_value(tau['p_value'])}; over all rows "
        f"{number(of_all['value'])}, {p_value(of_all['p_value'])} corrected for all heads), {verdict}; between rows at the "
        f"same position it is {number(within['value'])} ({p_value(within['p_value'])} corrected: {at_position})."
    )


def _others(named: Mapping[str, Any], head: tuple[int, int]) -> str:
    others = named["correlation_with_others"]
    if others is None or others["value"] is None:
        return f"Layer {head[0]} has no other head to correlate it with, or no other half of the clusters to do it in."
    stance = direction(
        Comparison(others["value"], others["low"], others["high"]),
        "not anti-correlated with the others",
        "anti-correlated with the others",
        "not clearly anti-correlated with the others",
    )
    return f"Its mean correlation with the other heads of its layer is {with_interval(others)} in that half: {stance}."


def _contrary(everyone: GroupOfRows) -> str:
    contrary: Sequence[tuple[int, int]] = everyone.contrary_heads
    listed = "; ".join(
        f"head {head} of layer {layer}, {with_interval(everyone.with_others.numbers((layer, head)))}"
        for layer, head in contrary[:5]
    )
    more = f"; and {len(contrary) - 5} more" if len(contrary) > 5 else ""
    return (
        "Heads anti-correlated with the others of their layer, by a 95 % interval each, not corrected for the number of heads: "
        f"{listed or 'none'}{more}."
    )


def _between_sets(named: Mapping[str, Any], over_clusters: Comparison) -> str:
    found, taus = named["difference"], named["tau_in_sets"]
    above, below, level = (
        "it prefers rare tokens less in memorized text",
        "it prefers rare tokens more in memorized text",
        "no clear difference between the sets",
    )
    between = direction(over_clusters, above, below, level)
    if between in (above, below):
        between = linked(found["value"], (found["p_value_over_types"],), None, above, below, level)
    return (
        f"Its tau in that half is {number(taus['memorized'])} in memorized and {number(taus['non-memorized'])} in "
        f"non-memorized rows: {between} (difference {number(found['value'])}; "
        f"{p_value(found['p_value_over_clusters'])} over clusters, "
        f"{p_value(found['p_value_over_types'])} over token types)."
    )


def _name(named: Mapping[str, Any]) -> str:
    return f"head {named['head']} of layer {named['layer']}"
