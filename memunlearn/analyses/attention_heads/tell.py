"""What `attention_heads` says, its tables and notes: a claim needs the other half of the clusters and a correction for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memunlearn.analyses.attention_heads.charts import charts
from memunlearn.analyses.attention_heads.compare import Compared, GroupOfRows
from memunlearn.analyses.attention_heads.measure import Measured
from memunlearn.analyses.claims import direction, linked
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.localization.labelled import Table, stacked, table_of
from memunlearn.results.finding import Finding
from memunlearn.statistics.two_groups import Comparison
from memunlearn.words import number, p_value, rows, with_interval

UNIT = f"{OVER_CLUSTERS}; p-values against frequency: token types, whose frequencies are shuffled"


def tell(measured: Measured, compared: Compared, material: Material, max_neither: int | None, within_rows: int) -> Finding:
    sentences = _sentences(compared)
    ranks = [_by_place(name, "rank", "attention", group.by_rank) for name, group in compared.groups.items()]
    correlation = [_by_place(name, "other_head", "correlation", group.correlation) for name, group in compared.groups.items()]
    return Finding(
        name="attention_heads",
        title="Attention heads and rare tokens",
        sentences=sentences,
        unit=UNIT,
        numbers=compared.numbers,
        tables={
            "attention_heads": stacked([_heads(name, group) for name, group in compared.groups.items()]),
            "attention_heads_ranks": stacked(ranks),
            "attention_heads_correlation": stacked(correlation),
        },
        charts=charts(compared, sentences),
        notes=_notes(measured, compared, material, max_neither, within_rows),
    )


def _sentences(compared: Compared) -> tuple[str, ...]:
    numbers, groups = compared.numbers, compared.groups
    named = numbers["rare_token_head"]
    if named is None:
        return ("No head has a correlation with frequency: all tokens of every prefix are equally frequent.",)
    head = (named["layer"], named["head"])
    shape = groups["all"].taus.tau.shape
    said = [_frequency(numbers, shape[0] * shape[1]), _others(named, head), _contrary(groups["all"])]
    if named["difference"]["value"] is not None:
        said.append(between_sets(named, compared.difference))
    return tuple(said)


def _frequency(numbers: Mapping[str, Any], heads: int) -> str:
    named, clusters = numbers["rare_token_head"], numbers["clusters"]
    tau, of_all = named["tau"], named["groups"]["all"]["tau"]
    within = named["groups"]["all"]["tau_within_positions"]
    verdict = linked(
        tau["value"],
        (tau["p_value"], of_all["p_value"]),
        "so even this one prefers frequent tokens",
        "so it prefers rare tokens",
        "so no preference for rare tokens is seen in it",
        clusters=clusters,
    )
    chances = ("above chance", "below chance", "chance")
    at_position = linked(within["value"], (within["p_value"],), *chances, clusters=clusters)
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


def between_sets(named: Mapping[str, Any], over_clusters: Comparison) -> str:
    found, taus = named["difference"], named["tau_in_sets"]
    above, below, level = (
        "it prefers rare tokens less in memorized text",
        "it prefers rare tokens more in memorized text",
        "no clear difference between the sets",
    )
    between = direction(over_clusters, above, below, level)
    if between in (above, below):
        between = linked(found["value"], (found["p_value_over_types"],), above, below, level, clusters=None)
    return (
        f"Its tau in that half is {number(taus['memorized'])} in memorized and {number(taus['non-memorized'])} in "
        f"non-memorized rows: {between} (difference {number(found['value'])}; "
        f"{p_value(found['p_value_over_clusters'])} over clusters, "
        f"{p_value(found['p_value_over_types'])} over token types)."
    )


def _name(named: Mapping[str, Any]) -> str:
    return f"head {named['head']} of layer {named['layer']}"


def _heads(name: str, group: GroupOfRows) -> Table:
    """A row a layer and head. Entropy in nats.

    tau_p, tau_within_positions_p: corrected for all heads of the group, from frequencies shuffled over token types.
    """
    taus, shape = group.taus, group.taus.tau.shape
    contrary = np.zeros(shape, dtype=bool)
    for head in group.contrary_heads:
        contrary[head] = True
    columns = {
        "rows": np.array(group.rows),
        "tau": taus.tau,
        "tau_p": taus.tau_p,
        "tau_rows": group.tau_rows,
        "tau_within_positions": taus.within,
        "tau_within_positions_p": taus.within_p,
    }
    for key, found in (("entropy", group.entropy), ("correlation_with_others", group.with_others)):
        columns |= {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}
    labels = {"layer": range(shape[0]), "head": range(shape[1])}
    return table_of(labels, columns | {"anti_correlated": contrary}, set=name)


def _by_place(name: str, axis: str, key: str, values: np.ndarray) -> Table:
    """A row a layer, head, and rank (0: rarest) or other head of the layer: values [L, H, places]."""
    return table_of(dict(zip(("layer", "head", axis), map(range, values.shape), strict=True)), {key: values}, set=name)


def _notes(
    measured: Measured, compared: Compared, material: Material, max_neither: int | None, within_rows: int
) -> tuple[str, ...]:
    p, visible = material.paragraphs.prefix_length, compared.numbers["visible_positions"]
    notes = [
        "Attention from the last prefix token, not to itself (except in the entropy); an attention and a frequency an "
        "occurrence, tied frequencies counted as ties (tau-b). Near-duplicates count once: a cluster weighs as much as a "
        "single row.",
        "A frequency belongs to a token type, not to a row: p-values against frequency come from "
        f"{compared.numbers['permutations']} shuffles of the frequencies over the token types in these prefixes, each tau "
        "measured by what its types contribute; those of all heads are corrected by the largest of all (max-T). The head named "
        "is the one with the lowest tau in one half of the clusters, judged on the other half, and named anew under each "
        "shuffle. Taus, ranks and their figures by themselves describe these tokens and claim nothing.",
        f"Within positions: {rows(measured.within)} compared with each other at the same position, near-duplicates not: at "
        f"most {within_rows} memorized and as many non-memorized ones, drawn with the seed; `all` is these two together, "
        "without the rows that are in neither set, which `all` elsewhere includes.",
    ]
    neither = ~(material.memorized | material.non_memorized)
    if max_neither is not None and int(neither.sum()) > max_neither:
        notes.append(f"{rows(max_neither)} of {int(neither.sum()):,} rows in neither set were drawn with the seed.")
    for name, group in (("memorized", material.memorized), ("non-memorized", material.non_memorized)):
        if name not in compared.groups:
            notes.append(f"No {name} row: there is no comparison.")
        elif compared.groups[name].rows < int(group.sum()):
            notes.append(f"{rows(compared.groups[name].rows)} of {int(group.sum()):,} {name} rows were drawn with the seed.")
    short = [f"{layer} ({seen} of {p})" for layer, seen in enumerate(visible) if seen < p]
    if short:
        notes.append(
            f"Layers that cannot see the whole prefix, their other positions left out of correlations and ranks: "
            f"{', '.join(short)}. They are told by an attention of exactly 0 from every head of the layer."
        )
    if missing := int(measured.attention["tau"].isnan().all((1, 2)).sum()):
        notes.append(f"{rows(missing)} had no correlation: all tokens were equally frequent.")
    return tuple(notes)
