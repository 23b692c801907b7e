"""One prefix token replaced at a time (paper, section 3): are memorized continuations harder to corrupt, and where?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from memunlearn.analyses.frequency_of_drops import link_drops
from memunlearn.analyses.in_words import direction, linked
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.analyses.perturbed_rows import SETS, PerturbedRows
from memunlearn.analyses.token_perturbation_charts import describe_charts
from memunlearn.analyses.token_perturbation_tables import make_tables
from memunlearn.errors import UserError
from memunlearn.localization.token_perturbation import decode_alternatives, perturb_tokens
from memunlearn.paragraphs.paragraph_set import concatenate
from memunlearn.results.finding import Finding
from memunlearn.statistics.estimates import Estimates, means_with_intervals
from memunlearn.statistics.intervals import too_few_clusters
from memunlearn.statistics.kendall import tau_b
from memunlearn.statistics.two_groups import Comparison, mean_difference
from memunlearn.words import number, p_value, rows, with_interval


@dataclass(frozen=True)
class TokenPerturbation:
    """The drop in EM (non-memorized rows: in self-EM) and the rise in NLL for every prefix position.

    replacements: random tokens a position. second_likely: also the model's second choice there. max_memorized,
    max_non_memorized: rows of each set at most, drawn with the seed; None: all. within_rows: how many of each set, drawn with
    the seed, serve for the correlation within positions, where rows are compared with each other. permutations: how often
    the frequencies are shuffled over token types.
    """

    version: ClassVar[int] = 3
    replacements: int = 1
    second_likely: bool = True
    max_memorized: int | None = None
    max_non_memorized: int | None = 200
    within_rows: int = 200
    permutations: int = 300

    def __post_init__(self) -> None:
        if self.replacements < 0:
            raise UserError(f"analysis.token_perturbation.replacements={self.replacements} must be 0 or more")
        if not self.replacements and not self.second_likely:
            raise UserError(
                "analysis.token_perturbation has nothing to replace a token by: set analysis.token_perturbation.replacements "
                "to 1 or more, or analysis.token_perturbation.second_likely=true"
            )
        if self.within_rows < 0:
            raise UserError(f"analysis.token_perturbation.within_rows={self.within_rows} must be 0 or more")
        if self.permutations < 1:
            raise UserError(f"analysis.token_perturbation.permutations={self.permutations} must be 1 or more")
        for name in ("max_memorized", "max_non_memorized"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise UserError(f"analysis.token_perturbation.{name}={getattr(self, name)} must be 0 or more, or null for all")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is neither a memorized nor a non-memorized row."""
        perturbed = self._perturb(material)
        per_row = np.nanmean(perturbed.em_drop, 1), np.nanmean(perturbed.nll_rise, 1)
        values = np.stack([*per_row, *_worst(perturbed)], 1)
        numbers: dict[str, Any] = {"kinds": list(dict.fromkeys(perturbed.perturbations.kinds)), "sets": {}}
        by_position: dict[str, tuple[Estimates, Estimates]] = {}
        taus = tau_b(perturbed.em_drop, perturbed.frequency)
        few = {name: material.rows(torch.from_numpy(perturbed.of(name)), self.within_rows).numpy() for name in SETS}
        links = link_drops(perturbed, few, self.permutations, material.seed, material.model.device)
        for name in SETS:
            member = perturbed.of(name)
            if not member.any():
                numbers["sets"][name] = None
                continue
            clusters, drops = perturbed.clusters[member], perturbed.em_drop[member]
            estimates = means_with_intervals(values[member], clusters, material.seed)
            by_position[name] = (
                means_with_intervals(drops, clusters, material.seed),
                means_with_intervals(perturbed.nll_rise[member], clusters, material.seed),
            )
            keys = ("em_drop", "nll_rise", "worst_em_drop", "worst_position")
            numbers["sets"][name] = {
                "rows": int(member.sum()),
                "clusters": len(np.unique(clusters)),
                **{key: estimates.numbers((place,)) for place, key in enumerate(keys)},
                "em_drop_by_kind": _by_kind(perturbed, member, material.seed),
                "tau_frequency": links[name, "along"].numbers(),
                "within_rows": len(few[name]),
                "tau_frequency_within_positions": links[name, "within"].numbers(),
            }
        is_memorized = perturbed.of("memorized")
        em_difference, nll_difference = (
            mean_difference(one, is_memorized, perturbed.clusters, material.seed) for one in per_row
        )
        numbers["difference"] = {"em_drop": em_difference.numbers(), "nll_rise": nll_difference.numbers()}
        sentences = _sentences(numbers, em_difference, material.paragraphs.continuation_length)
        return Finding(
            name="token_perturbation",
            title="One prefix token replaced",
            sentences=sentences,
            unit=OVER_CLUSTERS,
            numbers=numbers,
            tables=make_tables(perturbed, by_position, taus, material.tokenizer),
            charts=describe_charts(perturbed, by_position, per_row, taus, sentences),
            notes=self._notes(material, perturbed, taus),
        )

    def _perturb(self, material: Material) -> PerturbedRows:
        groups = (
            material.rows(material.memorized, self.max_memorized),
            material.rows(material.non_memorized, self.max_non_memorized),
        )
        chosen = torch.cat(groups)
        if not len(chosen):
            raise UserError(
                "analysis.token_perturbation has no memorized and no non-memorized row: give paragraphs with some, or raise "
                "analysis.token_perturbation.max_memorized or max_non_memorized"
            )
        if material.paragraphs.prefix_length == 1 and not self.replacements:
            raise UserError(
                "a prefix of one token has no second-likely replacement: "
                "set analysis.token_perturbation.replacements to 1 or more"
            )
        parts = [material.paragraphs.select(groups[0])]
        if len(groups[1]):
            parts.append(material.own(material.paragraphs.select(groups[1])))
        paragraphs = concatenate(parts)
        perturbations = perturb_tokens(
            material.model, paragraphs, self.replacements, self.second_likely, material.seed, material.batch_size
        )
        alternative, said = decode_alternatives(material.model, paragraphs, perturbations, material.batch_size)
        return PerturbedRows(
            rows=chosen,
            set_of=np.repeat(SETS, [len(group) for group in groups]),
            paragraphs=paragraphs,
            perturbations=perturbations,
            alternative=alternative,
            said=said,
            em_drop=perturbations.em_drop.double().nanmean(2).numpy(),
            nll_rise=perturbations.nll_rise.double().nanmean(2).numpy(),
            frequency=material.frequency[paragraphs.prefixes].double().numpy(),
            clusters=material.clusters[chosen].numpy(),
        )

    def _notes(self, material: Material, perturbed: PerturbedRows, taus: np.ndarray) -> tuple[str, ...]:
        notes = [
            "A frequency belongs to a token type, not to a row: p-values against frequency come from "
            f"{self.permutations} shuffles of the frequencies over the token types in these prefixes, corrected for both "
            "sets, along prefixes and within "
            "positions. Near-duplicates count once: a cluster weighs as much as one row.",
            "Non-memorized rows are scored on what the model says after their unperturbed prefix: their drop is in self-EM.",
        ]
        length = material.paragraphs.continuation_length
        if partly := int((perturbed.perturbations.em_before[perturbed.of("memorized")] < length).sum()):
            notes.append(f"{rows(partly)} of the memorized set had EM below {length} before anything was replaced.")
        if self.second_likely:
            notes.append("The first prefix token is not predicted, so it has no second-likely replacement, only random ones.")
        for name, group in zip(SETS, (material.memorized, material.non_memorized), strict=True):
            available, used = int(group.sum()), int(perturbed.of(name).sum())
            if not used:
                notes.append(f"No {name} row was perturbed: there is no comparison.")
            elif used < available:
                notes.append(f"{rows(used)} of {available:,} {name} rows were drawn with the seed.")
            if used and (few := too_few_clusters(len(np.unique(perturbed.clusters[perturbed.of(name)])))):
                notes.append(f"There is no interval for {name} rows: {few}.")
            if used > self.within_rows:
                notes.append(f"Within positions {self.within_rows} of {used:,} {name} rows, drawn with the seed, are compared.")
        if without := int((perturbed.alternative < 0).sum()):
            notes.append(
                f"{rows(without)} have no alternative (null in the table of rows): whatever token is replaced, the model still "
                f"says more than {length / 5:g} tokens of the continuation in a row."
            )
        if missing := int(np.isnan(taus).sum()):
            notes.append(f"{rows(missing)} had the same drop, or equally frequent tokens, everywhere: no correlation.")
        return tuple(notes)


def _worst(perturbed: PerturbedRows) -> tuple[np.ndarray, np.ndarray]:
    """The largest drop of each row, and its position (NaN where no replacement made EM drop): [n] each."""
    position, replacement = perturbed.perturbations.worst()
    drop = perturbed.perturbations.em_drop[torch.arange(len(position)), position, replacement].double()
    return drop.numpy(), torch.where(drop > 0, position.double(), torch.nan).numpy()


def _by_kind(perturbed: PerturbedRows, member: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean drop of each kind of replacement over the positions where all kinds exist, so that they can be compared."""
    drop = perturbed.perturbations.em_drop.double().numpy()[member]
    drop = drop[:, ~np.isnan(drop).any((0, 2))]
    kinds = np.array(perturbed.perturbations.kinds)
    return {
        kind: means_with_intervals(drop[:, :, kinds == kind].mean((1, 2)), perturbed.clusters[member], seed).numbers()
        for kind in dict.fromkeys(kinds.tolist())
        if drop.shape[1]
    }


def _sentences(numbers: dict[str, Any], difference: Comparison, length: int) -> tuple[str, ...]:
    found = {name: numbers["sets"][name] for name in SETS if numbers["sets"][name]}
    drops = ", and ".join(
        f"a {name} continuation {with_interval(one['em_drop'])} of its {length} tokens" for name, one in found.items()
    )
    first = f"Replacing one prefix token costs {drops} on average"
    if len(found) == 2:
        verdict = direction(
            difference,
            "memorized continuations are easier to corrupt",
            "memorized continuations are harder to corrupt",
            "no clear difference between the sets",
        )
        first += f": {verdict} (difference {with_interval(difference.numbers())}, {p_value(difference.p_value)})"
    worst = ", ".join(
        f"{number(one['worst_em_drop']['value'])} tokens for {name} rows (its mean position: "
        f"{number(one['worst_position']['value'])})"
        for name, one in found.items()
    )
    second = f"The one replacement that corrupts most costs {worst}"
    return f"{first}.", f"{second}.", *(_frequency_sentence(name, one) for name, one in found.items())


def _frequency_sentence(name: str, found: dict[str, Any]) -> str:
    tau, within = found["tau_frequency"], found["tau_frequency_within_positions"]
    verdict = linked(
        within["value"],
        (within["p_value"],),
        found["clusters"],
        "replacing frequent tokens corrupts more",
        "replacing rare tokens corrupts more",
        "no link with frequency is seen",
    )
    return (
        f"In {name} rows Kendall's tau between the drop and the corpus frequency of the replaced token is "
        f"{number(tau['value'])} ({p_value(tau['p_value'])}) along a prefix, and {number(within['value'])} "
        f"({p_value(within['p_value'])}) between rows at the same position: {verdict}."
    )
