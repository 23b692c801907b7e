"""Which attention heads look at rare tokens (paper, section 5): attention of the last prefix token, head by head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.attention_heads_charts import describe_charts
from memunlearn.analyses.attention_heads_sentences import sentences_of
from memunlearn.analyses.attention_heads_tables import make_tables
from memunlearn.analyses.frequency_of_heads import HeadLinks, NamedHead, link_heads
from memunlearn.analyses.heads_by_group import GroupOfRows, group_rows, means_of_clusters
from memunlearn.analyses.in_words import SIGNIFICANT
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.errors import UserError
from memunlearn.localization.attention_heads import HeadAttention, attention_heads, frequency_of_text, frequency_ranks
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.results.finding import Finding
from memunlearn.statistics.estimates import Estimates, means_with_intervals, number_or_none
from memunlearn.statistics.two_groups import NOTHING, Comparison, mean_difference
from memunlearn.words import rows

UNIT = f"{OVER_CLUSTERS}; p-values against frequency: token types, whose frequencies are shuffled"


@dataclass(frozen=True)
class AttentionHeads:
    """Kendall correlation of attention with corpus frequency for every head, attention by rank, entropy, head correlation.

    max_memorized, max_non_memorized, max_neither: rows of each set, and of those in neither, at most, drawn with the seed;
    None: all. within_rows: how many of each set, drawn with the seed, serve for the correlation within positions, where rows
    are compared with each other. permutations: how often the frequencies are shuffled over token types.
    """

    version: ClassVar[int] = 3
    max_memorized: int | None = None
    max_non_memorized: int | None = 2000
    max_neither: int | None = 2000
    within_rows: int = 200
    permutations: int = 300

    def __post_init__(self) -> None:
        for name in ("max_memorized", "max_non_memorized", "max_neither", "within_rows"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UserError(f"analysis.attention_heads.{name}={value} must be 0 or more")
        if self.permutations < 1:
            raise UserError(f"analysis.attention_heads.permutations={self.permutations} must be 1 or more")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is no row, or the model does not give its attention weights."""
        neither = ~(material.memorized | material.non_memorized)
        parts = [
            material.rows(material.memorized, self.max_memorized),
            material.rows(material.non_memorized, self.max_non_memorized),
            material.rows(neither, self.max_neither),
        ]
        chosen = torch.cat(parts)
        if not len(chosen):
            raise UserError(
                "analysis.attention_heads has no row to read attention from: give paragraphs, or raise "
                "analysis.attention_heads.max_memorized or max_non_memorized"
            )
        sets = torch.arange(3).repeat_interleave(torch.tensor([len(part) for part in parts]))
        prefixes, clusters = material.paragraphs.prefixes[chosen], material.clusters[chosen].numpy()
        start = material.paragraphs.text_start  # BOS, to which much attention goes, is no token of the text
        shares = torch.from_numpy(cluster_shares(clusters, sets.numpy()))
        found = attention_heads(material.model, prefixes, material.frequency, sets, material.batch_size, shares, start)
        few = torch.cat([material.rows(sets == which, self.within_rows) for which in (0, 1)]).numpy()
        links = link_heads(
            found,
            prefixes,
            material.frequency,
            sets.numpy(),
            clusters,
            few,
            self.permutations,
            material.seed,
            material.model.device,
            start,
        )
        groups = group_rows(found, sets, clusters, links.groups, material.seed)
        numbers: dict[str, Any] = {
            "rows": {name: group.rows for name, group in groups.items()},
            "clusters": len(np.unique(clusters)),
            "within_rows": len(few),
            "token_types": links.types,
            "permutations": self.permutations,
            "visible_positions": found.visible.tolist(),
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
        curves, difference = None, NOTHING
        if links.named is not None:
            frequency = frequency_of_text(material.frequency, prefixes, start)
            difference = _difference(found, links.named, sets.numpy(), clusters, material.seed)
            numbers["rare_token_head"] = _named(found, links, groups, difference, sets.numpy(), clusters, material.seed)
            curves = _curves(found, frequency, sets, clusters, shares, links.named.head, material.seed)
        sentences = sentences_of(numbers, groups, difference)
        named = None if links.named is None else links.named.head
        return Finding(
            name="attention_heads",
            title="Attention heads and rare tokens",
            sentences=sentences,
            unit=UNIT,
            numbers=numbers,
            tables=make_tables(groups),
            charts=describe_charts(groups, named, curves, sentences),
            notes=self._notes(material, groups, found, prefixes.shape[1], len(few)),
        )

    def _notes(
        self, material: Material, groups: dict[str, GroupOfRows], found: HeadAttention, p: int, few: int
    ) -> tuple[str, ...]:
        notes = [
            "Attention from the last prefix token, not to itself (except in the entropy); an attention and a frequency an "
            "occurrence, tied frequencies counted as ties (tau-b). Near-duplicates count once: a cluster weighs as much as a "
            "single row.",
            "A frequency belongs to a token type, not to a row: p-values against frequency come from "
            f"{self.permutations} shuffles of the frequencies over the token types in these prefixes, each tau measured by "
            "what its types contribute; those of all heads are corrected by the largest of all (max-T). The head named is the "
            "one with the lowest tau in one half of the clusters, judged on the other half, and named anew under each shuffle. "
            "Taus, ranks and their figures by themselves describe these tokens and claim nothing.",
            f"Within positions: {rows(few)} compared with each other at the same position, near-duplicates not: at most "
            f"{self.within_rows} memorized and as many non-memorized ones, drawn with the seed; `all` is these two together, "
            "without the rows that are in neither set, which `all` elsewhere includes.",
        ]
        neither = ~(material.memorized | material.non_memorized)
        if self.max_neither is not None and int(neither.sum()) > self.max_neither:
            notes.append(f"{rows(self.max_neither)} of {int(neither.sum()):,} rows in neither set were drawn with the seed.")
        for name, group in (("memorized", material.memorized), ("non-memorized", material.non_memorized)):
            if name not in groups:
                notes.append(f"No {name} row: there is no comparison.")
            elif groups[name].rows < int(group.sum()):
                notes.append(f"{rows(groups[name].rows)} of {int(group.sum()):,} {name} rows were drawn with the seed.")
        short = [f"{layer} ({visible} of {p})" for layer, visible in enumerate(found.visible.tolist()) if visible < p]
        if short:
            notes.append(
                f"Layers that cannot see the whole prefix, their other positions left out of correlations and ranks: "
                f"{', '.join(short)}. They are told by an attention of exactly 0 from every head of the layer."
            )
        if missing := int(found.tau.isnan().all((1, 2)).sum()):
            notes.append(f"{rows(missing)} had no correlation: all tokens were equally frequent.")
        return tuple(notes)


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
    return [
        {
            "layer": layer,
            "head": head,
            "tau": float(group.taus.tau[layer, head]),
            "p_value": float(group.taus.tau_p[layer, head]),
        }
        for layer, head in where
    ]


def _named(
    found: HeadAttention,
    links: HeadLinks,
    groups: dict[str, GroupOfRows],
    difference: Comparison,
    sets: np.ndarray,
    clusters: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    named = links.named
    assert named is not None
    shares, tested = cluster_shares(clusters, sets), named.tested
    others = means_of_clusters(found.with_others, tested, clusters, shares, seed).numbers(named.head) if tested.any() else None
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
        "correlation_with_others": others,
        "groups": {name: _describe(group, named.head) for name, group in groups.items()},
    }


def _difference(found: HeadAttention, named: NamedHead, sets: np.ndarray, clusters: np.ndarray, seed: int) -> Comparison:
    """Memorized minus non-memorized rows of the tested half, a value a cluster and set: what clusters say of it."""
    rows_of = [np.flatnonzero(named.tested & (sets == which)) for which in (0, 1)]
    values, labels, first = [], [], []
    for which, members in enumerate(rows_of):
        taus = found.tau[members, named.head[0], named.head[1]].numpy()
        for cluster in np.unique(clusters[members]):
            of_cluster = taus[clusters[members] == cluster]
            if not np.isnan(of_cluster).all():
                values.append(np.nanmean(of_cluster))
                labels.append(cluster)
                first.append(which == 0)
    return mean_difference(values, first, labels, seed)


def _curves(
    found: HeadAttention,
    frequency: Tensor,
    sets: Tensor,
    clusters: np.ndarray,
    shares: Tensor,
    named: tuple[int, int],
    seed: int,
) -> dict[tuple[str, str], Estimates]:
    """Attention per occurrence by rank, [P], of the named head and of the others in its layer: by (set, which)."""
    of_layer = found.attention[:, named[0]].double()
    own = of_layer[:, named[1]]
    others = (of_layer.sum(1) - own) / (of_layer.shape[1] - 1 or torch.nan)
    ranks = frequency_ranks(frequency)
    curves = {}
    for which, values in (("named", own), ("others", others)):
        counts = torch.zeros_like(values).scatter_add_(1, ranks, (~values.isnan()).double())
        sums = torch.zeros_like(values).scatter_add_(1, ranks, values.nan_to_num())
        means = torch.where(counts > 0, sums / counts, torch.nan).numpy()
        for number_of_set, name in enumerate(("memorized", "non-memorized")):
            member = (sets == number_of_set).numpy()
            if member.any():
                sizes = (counts * shares[:, None]).numpy()[member]
                curves[name, which] = means_with_intervals(means[member], clusters[member], seed, sizes=sizes)
    return curves
