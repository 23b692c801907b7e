"""Which rows' attention is read, what it is, and how it goes with the frequency of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.errors import UserError
from memunlearn.localization.attention_heads import attention_heads, frequency_of_text
from memunlearn.localization.frequency_of_heads import HeadLinks, link_heads
from memunlearn.localization.labelled import Labelled
from memunlearn.paragraphs.clusters import cluster_shares


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """n rows. attention: as of `attention_heads`; links: as of `link_heads`.

    sets: [n], 0 memorized, 1 non-memorized, 2 neither. clusters: [n]; shares: [n] fp64, what a row counts, so that each cluster
    of a set counts once. frequency: [n, P], of the tokens of the text. within: rows that are compared within positions.
    """

    attention: Labelled
    links: HeadLinks
    sets: np.ndarray
    clusters: np.ndarray
    shares: np.ndarray
    frequency: Tensor
    within: int


def measure(material: Material, *, at_most: Sequence[int | None], within_rows: int, permutations: int) -> Measured:
    """at_most: rows of each of the three sets. Raises UserError if there is no row, or no attention."""
    neither = ~(material.memorized | material.non_memorized)
    groups = (material.memorized, material.non_memorized, neither)
    parts = [material.rows(group, most) for group, most in zip(groups, at_most, strict=True)]
    chosen = torch.cat(parts)
    if not len(chosen):
        raise UserError(
            "analysis.attention_heads has no row to read attention from: give paragraphs, or raise "
            "analysis.attention_heads.max_memorized or max_non_memorized"
        )
    sets = torch.arange(3).repeat_interleave(torch.tensor([len(part) for part in parts]))
    prefixes, clusters = material.paragraphs.prefixes[chosen], material.clusters[chosen].numpy()
    start = material.paragraphs.text_start  # BOS, to which much attention goes, is no token of the text
    shares = cluster_shares(clusters, sets.numpy())
    attention = attention_heads(
        material.model, prefixes, material.frequency, sets, material.batch_size, torch.from_numpy(shares), start
    )
    within = torch.cat([material.rows(sets == which, within_rows) for which in (0, 1)]).numpy()
    links = link_heads(
        attention,
        prefixes,
        material.frequency,
        sets=sets.numpy(),
        clusters=clusters,
        few=within,
        permutations=permutations,
        seed=material.seed,
        device=material.model.device,
        text_start=start,
    )
    return Measured(
        attention=attention,
        links=links,
        sets=sets.numpy(),
        clusters=clusters,
        shares=shares,
        frequency=frequency_of_text(material.frequency, prefixes, start),
        within=len(within),
    )
