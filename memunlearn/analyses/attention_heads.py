"""Which attention heads look at rare tokens (paper, section 5): attention of the last prefix token, head by head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.attention_heads_charts import describe_charts
from memunlearn.analyses.attention_heads_tables import make_tables
from memunlearn.analyses.heads_by_group import GROUPS, GroupOfRows, group_rows, tau_within_positions
from memunlearn.analyses.in_words import direction, p_value, rows, with_interval
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.errors import UserError
from memunlearn.localization.attention_heads import (
    HeadAttention,
    all_attention,
    attention_heads,
    attention_of_head,
    frequency_of_text,
    frequency_ranks,
)
from memunlearn.reporting.finding import Finding
from memunlearn.statistics.estimates import Estimates, means_with_intervals, number_or_none
from memunlearn.statistics.kendall import tau_within_columns_with_interval
from memunlearn.statistics.two_groups import Comparison, mean_difference

Named = tuple[int, int]


@dataclass(frozen=True)
class AttentionHeads:
    """Kendall correlation of attention with corpus frequency for every head, attention by rank, entropy, head correlation.

    max_memorized, max_non_memorized, max_neither: rows of each set, and of those in neither, at most, drawn with the seed;
    None: all. within_rows: how many of each set, drawn with the seed, serve for the correlation within positions, where rows
    are compared with each other.
    """

    version: ClassVar[int] = 2
    max_memorized: int | None = None
    max_non_memorized: int | None = 2000
    max_neither: int | None = 2000
    within_rows: int = 200

    def __post_init__(self) -> None:
        for name in ("max_memorized", "max_non_memorized", "max_neither", "within_rows"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UserError(f"analysis.attention_heads.{name}={value} must be 0 or more")

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
        found = attention_heads(material.model, prefixes, material.frequency, sets, material.batch_size, start)
        few = torch.cat([material.rows(sets == which, self.within_rows) for which in (0, 1)])
        attention = all_attention(material.model, prefixes[few], material.batch_size).numpy() if len(few) else None
        if attention is not None:
            attention[..., :start] = np.nan
        frequency = frequency_of_text(material.frequency, prefixes, start)
        within = {
            name: self._within(attention, frequency[few].numpy(), clusters[few.numpy()], sets[few], name, found)
            for name in GROUPS
        }
        groups = group_rows(found, sets, clusters, within, material.seed)
        named = groups["all"].rare_head
        numbers: dict[str, Any] = {
            "rows": {name: group.rows for name, group in groups.items()},
            "clusters": len(np.unique(clusters)),
            "within_rows": len(few),
            "visible_positions": found.visible.tolist(),
            "rare_token_head": None,
            "rare_token_head_of": {
                name: None if group.rare_head is None else _describe(group, group.rare_head) for name, group in groups.items()
            },
            "anti_correlated_heads": {
                name: [
                    {"layer": head[0], "head": head[1], "correlation": group.with_others.numbers(head)}
                    for head in group.contrary_heads
                ]
                for name, group in groups.items()
            },
        }
        difference, curves = Comparison(None, None, None), None
        if named is not None:
            layer, head = named
            compared = sets < 2
            difference = mean_difference(
                found.tau[compared, layer, head].numpy(),
                (sets == 0)[compared].numpy(),
                clusters[compared.numpy()],
                material.seed,
            )
            numbers["rare_token_head"] = {
                "layer": layer,
                "head": head,
                "groups": {name: _describe(group, named) for name, group in groups.items()},
                "difference": difference.numbers(),
            }
            if attention is not None:
                at_positions = tau_within_columns_with_interval(
                    attention[:, layer, head], frequency[few].numpy(), clusters[few.numpy()], material.seed
                )
                numbers["rare_token_head"]["tau_within_positions"] = at_positions.numbers()
            curves = self._curves(material, prefixes, frequency, sets, clusters, named)
        sentences = _sentences(numbers, groups, named, difference, found.tau.shape)
        return Finding(
            name="attention_heads",
            title="Attention heads and rare tokens",
            sentences=sentences,
            unit=OVER_CLUSTERS,
            numbers=numbers,
            tables=make_tables(groups),
            charts=describe_charts(groups, named, curves, sentences),
            notes=self._notes(material, groups, found, prefixes.shape[1], len(few)),
        )

    def _within(
        self,
        attention: np.ndarray | None,
        frequency: np.ndarray,
        clusters: np.ndarray,
        sets: Tensor,
        name: str,
        found: HeadAttention,
    ) -> np.ndarray:
        if attention is None:
            return np.full(found.tau.shape[1:], np.nan)
        member = {"all": sets >= 0, "memorized": sets == 0, "non-memorized": sets == 1}[name].numpy()
        return tau_within_positions(attention[member], frequency[member], clusters[member])

    def _curves(
        self, material: Material, prefixes: Tensor, frequency: Tensor, sets: Tensor, clusters: np.ndarray, named: Named
    ) -> dict[tuple[str, str], Estimates]:
        """Attention per occurrence by rank, [P], of the named head and of the others in its layer: by (set, which)."""
        own, others = attention_of_head(material.model, prefixes, *named, material.batch_size)
        for one in (own, others):
            one[:, : material.paragraphs.text_start] = torch.nan
        ranks = frequency_ranks(frequency)
        curves = {}
        for which, values in (("named", own), ("others", others)):
            counts = torch.zeros_like(values).scatter_add_(1, ranks, (~values.isnan()).double())
            sums = torch.zeros_like(values).scatter_add_(1, ranks, values.nan_to_num())
            means = torch.where(counts > 0, sums / counts, torch.nan).numpy()
            for number_of_set, name in enumerate(("memorized", "non-memorized")):
                member = (sets == number_of_set).numpy()
                if member.any():
                    curves[name, which] = means_with_intervals(
                        means[member], clusters[member], material.seed, sizes=counts.numpy()[member]
                    )
        return curves

    def _notes(
        self, material: Material, groups: dict[str, GroupOfRows], found: HeadAttention, p: int, few: int
    ) -> tuple[str, ...]:
        notes = [
            "Attention from the last prefix token; an attention and a frequency an occurrence, tied frequencies counted as "
            "ties (tau-b). A head named as the most extreme of all has an interval that does not count the choice.",
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


def _describe(group: GroupOfRows, named: Named) -> dict[str, Any]:
    layer, head = named
    return {
        "layer": layer,
        "head": head,
        "tau": group.tau.numbers(named),
        "tau_within_positions": number_or_none(group.within[named]),
        "entropy": group.entropy.numbers(named),
        "correlation_with_others": group.with_others.numbers(named),
    }


def _name(named: Named) -> str:
    return f"head {named[1]} of layer {named[0]}"


def _sentences(
    numbers: dict[str, Any],
    groups: dict[str, GroupOfRows],
    named: Named | None,
    difference: Comparison,
    shape: tuple[int, ...],
) -> tuple[str, ...]:
    if named is None:
        return ("No head has a correlation with frequency: all tokens of every prefix are equally frequent.",)
    everyone = groups["all"]
    tau = everyone.tau.numbers(named)
    verdict = direction(
        Comparison(tau["value"], tau["low"], tau["high"]),
        "so even this one prefers frequent tokens",
        "so it prefers rare tokens",
        "so no preference for rare tokens is seen in it",
    )
    within = numbers["rare_token_head"].get("tau_within_positions", {"value": None, "low": None, "high": None})
    first = (
        f"Of {shape[1] * shape[2]} heads, {_name(named)} has the lowest Kendall's tau between its attention and the tokens' "
        f"corpus frequency: {with_interval(tau)} over {rows(everyone.rows)}, {verdict}; "
        f"at the same position it is {with_interval(within)}."
    )
    others = everyone.with_others.numbers(named)
    if others["value"] is None:
        second = f"Layer {named[0]} has no other head to correlate it with."
    else:
        stance = direction(
            Comparison(others["value"], others["low"], others["high"]),
            "not anti-correlated with the others",
            "anti-correlated with the others",
            "not clearly anti-correlated with the others",
        )
        second = f"Its mean correlation with the other heads of its layer is {with_interval(others)}: {stance}."
    contrary = everyone.contrary_heads
    listed = "; ".join(f"{_name(one)}, {with_interval(everyone.with_others.numbers(one))}" for one in contrary[:5])
    more = f"; and {len(contrary) - 5} more" if len(contrary) > 5 else ""
    third = (
        "Heads anti-correlated with the others of their layer, by a 95 % interval each, not corrected for the number of heads: "
        f"{listed or 'none'}{more}."
    )
    if difference.value is None:
        return first, second, third
    taus = [with_interval(groups[name].tau.numbers(named)) for name in ("memorized", "non-memorized")]
    between = direction(
        difference,
        "it prefers rare tokens less in memorized text",
        "it prefers rare tokens more in memorized text",
        "no clear difference between the sets",
    )
    fourth = (
        f"Its tau is {taus[0]} in memorized and {taus[1]} in non-memorized rows: {between} "
        f"(difference {with_interval(difference.numbers())}, {p_value(difference.p_value)})."
    )
    return first, second, third, fourth
