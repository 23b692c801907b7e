"""Does a replaced token's frequency go with the drop in EM? Chance is another assignment of the frequencies to token types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memunlearn.analyses.perturbed_rows import SETS, PerturbedRows
from memunlearn.paragraphs.clusters import cluster_shares
from memunlearn.statistics.estimates import number_or_none
from memunlearn.statistics.frequency_link import link, link_across
from memunlearn.statistics.shuffled_types import linked_p, shuffles


@dataclass(frozen=True)
class DropTau:
    """tau: mean Kendall's tau-b, NaN where there is none; p: two-sided, corrected for all that were computed with it."""

    tau: float
    p: float

    def numbers(self) -> dict[str, Any]:
        return {"value": number_or_none(self.tau), "p_value": number_or_none(self.p)}


def link_drops(
    perturbed: PerturbedRows,
    few: Mapping[str, np.ndarray],
    permutations: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> dict[tuple[str, str], DropTau]:
    """By set and "along" (each prefix, averaged over rows) or "within" (rows at the same position, averaged over positions).

    few: by set, the rows compared at the same position. Each cluster weighs once. Frequencies are shuffled over the token types
    of all prefixes.
    """
    prefixes = perturbed.paragraphs.prefixes.numpy()
    types, first, places = np.unique(prefixes, return_index=True, return_inverse=True)
    shuffled = shuffles(perturbed.frequency.flatten()[first], permutations, seed)
    drops, kinds = torch.from_numpy(perturbed.em_drop), torch.from_numpy(places.reshape(prefixes.shape))
    links = {}
    for name in SETS:
        rows = np.flatnonzero(perturbed.of(name))
        shares = torch.from_numpy(cluster_shares(perturbed.clusters[rows]))
        links[name, "along"] = link(drops[rows].unsqueeze(1), kinds[rows], shuffled, shares, device=device)
        some = few[name]
        links[name, "within"] = link_across(drops[some].unsqueeze(1), kinds[some], shuffled, perturbed.clusters[some], device)
    p = linked_p(np.concatenate([one.z for one in links.values()], 1))
    return {key: DropTau(float(one.tau[0, 0]), float(p[place])) for place, (key, one) in enumerate(links.items())}
