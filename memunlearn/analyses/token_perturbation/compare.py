"""Memorized against non-memorized rows, positions against each other, and drops against the frequency of what is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memunlearn.analyses.token_perturbation.measure import SETS, PerturbedRows
from memunlearn.localization.token_perturbation import em_drop
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.statistics.estimates import Estimates, means_with_intervals, number_or_none
from memunlearn.statistics.frequency_link import link, link_across
from memunlearn.statistics.kendall import tau_b
from memunlearn.statistics.shuffled_types import linked_p, shuffles
from memunlearn.statistics.two_groups import Comparison, mean_difference


@dataclass(frozen=True, eq=False)
class Compared:
    """numbers: the key numbers. by_position: by set the mean drop in EM and rise in NLL at each position, [P] each.

    difference: of the mean drop in EM, memorized minus non-memorized. taus: [n], Kendall's tau-b between a row's drops and the
    frequencies of the tokens replaced, NaN where there is none.
    """

    numbers: dict[str, Any]
    by_position: Mapping[str, tuple[Estimates, Estimates]]
    difference: Comparison
    taus: np.ndarray


@dataclass(frozen=True)
class DropTau:
    """tau: mean Kendall's tau-b, NaN where there is none; p: two-sided, corrected for all that were computed with it."""

    tau: float
    p: float

    def numbers(self) -> dict[str, Any]:
        return {"value": number_or_none(self.tau), "p_value": number_or_none(self.p)}


def compare(perturbed: PerturbedRows, permutations: int, seed: int, device: torch.device) -> Compared:
    links = link_drops(perturbed, permutations, seed, device)
    em, nll = (mean_difference(one, perturbed.of("memorized"), perturbed.clusters, seed=seed) for one in perturbed.per_row)
    numbers: dict[str, Any] = {
        "kinds": list(dict.fromkeys(perturbed.perturbations.labels["replacement"])),
        "sets": {name: _of_set(perturbed, name, links, seed) if name in perturbed.present else None for name in SETS},
        "difference": {"em_drop": em.numbers(), "nll_rise": nll.numbers()},
    }
    by_position = {}
    for name in perturbed.present:
        member = perturbed.of(name)
        drops, rises = (
            means_with_intervals(values[member], perturbed.clusters[member], seed)
            for values in (perturbed.em_drop, perturbed.nll_rise)
        )
        by_position[name] = (drops, rises)
    return Compared(numbers, by_position, em, tau_b(perturbed.em_drop, perturbed.frequency))


def _of_set(perturbed: PerturbedRows, name: str, links: Mapping[tuple[str, str], DropTau], seed: int) -> dict[str, Any]:
    member = perturbed.of(name)
    clusters = perturbed.clusters[member]
    values = np.stack([*perturbed.per_row, *perturbed.worst()], 1)[member]
    estimates = means_with_intervals(values, clusters, seed)
    keys = ("em_drop", "nll_rise", "worst_em_drop", "worst_position")
    return {
        "rows": int(member.sum()),
        "clusters": len(np.unique(clusters)),
        **{key: estimates.numbers((place,)) for place, key in enumerate(keys)},
        "em_drop_by_kind": _by_kind(perturbed, member, seed),
        "tau_frequency": links[name, "along"].numbers(),
        "within_rows": len(perturbed.within[name]),
        "tau_frequency_within_positions": links[name, "within"].numbers(),
    }


def _by_kind(perturbed: PerturbedRows, member: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean drop of each kind of replacement over the positions where all kinds exist, so that they can be compared."""
    drop = em_drop(perturbed.perturbations).double().numpy()[member]
    drop = drop[:, ~np.isnan(drop).any((0, 2))]
    kinds = np.array(perturbed.perturbations.labels["replacement"])
    return {
        kind: means_with_intervals(drop[:, :, kinds == kind].mean((1, 2)), perturbed.clusters[member], seed).numbers()
        for kind in dict.fromkeys(kinds.tolist())
        if drop.shape[1]
    }


def link_drops(
    perturbed: PerturbedRows, permutations: int, seed: int, device: torch.device | str = "cpu"
) -> dict[tuple[str, str], DropTau]:
    """Does a replaced token's frequency go with the drop in EM? Chance: other assignments of the frequencies to token types.

    By set and "along" (each prefix, averaged over rows) or "within" (rows at the same position, averaged over positions). Each
    cluster weighs once. Frequencies are shuffled over the token types of all prefixes.
    """
    prefixes = perturbed.paragraphs.prefixes.numpy()
    _, first, places = np.unique(prefixes, return_index=True, return_inverse=True)
    shuffled = shuffles(perturbed.frequency.flatten()[first], permutations, seed)
    drops, kinds = torch.from_numpy(perturbed.em_drop), torch.from_numpy(places.reshape(prefixes.shape))
    links = {}
    for name in SETS:
        rows, some = np.flatnonzero(perturbed.of(name)), perturbed.within[name]
        shares = torch.from_numpy(cluster_shares(perturbed.clusters[rows]))
        links[name, "along"] = link(drops[rows].unsqueeze(1), kinds[rows], shuffled, weights=shares, device=device)
        links[name, "within"] = link_across(drops[some].unsqueeze(1), kinds[some], shuffled, perturbed.clusters[some], device)
    p = linked_p(np.concatenate([one.z for one in links.values()], 1))
    return {key: DropTau(float(one.tau[0, 0]), float(p[place])) for place, (key, one) in enumerate(links.items())}
