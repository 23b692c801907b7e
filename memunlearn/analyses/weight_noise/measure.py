"""For each noise seed: which rows weights are chosen for, which others are read, the weights, and what noise on them does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.errors import UserError
from memunlearn.localization.labelled import Labelled
from memunlearn.localization.weight_attribution import Attribution, attribute
from memunlearn.localization.weight_noise import weight_noise, weight_spread
from memunlearn.masks import Mask, select_random, select_random_matched, select_top
from memunlearn.models import Filter
from memunlearn.paragraphs.paragraph_set import concatenate
from memunlearn.scoring.score import ParagraphScores, score

TOP, CONTROL, RANDOM, MATCHED = "top", "top of non-memorized", "random", "random matched"
"""The choices of weights: highest attribution of memorized and of non-memorized text; as many anywhere; in each tensor."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """N rows: memorized ones, non-memorized ones, and the model's own continuations of the latter's prefixes.

    kinds: [N] "memorized", "non_memorized" or "own"; clusters: [N]. scores: as of `weight_noise`; before: without noise.
    unit: of the noise. top: one seed's top weights. held_out: whether no row is read that weights were chosen for.
    """

    kinds: np.ndarray
    clusters: np.ndarray
    scores: Labelled
    before: ParagraphScores
    unit: float
    top: Mask
    held_out: bool

    def of(self, kind: str) -> np.ndarray:
        """[N] bool."""
        rows: np.ndarray = self.kinds == kind
        return rows


def measure(
    material: Material,
    *,
    attribution: Attribution,
    fraction: float,
    filter: Filter,
    scales: Sequence[float],
    seeds: int,
    max_memorized: int | None,
    max_non_memorized: int | None,
) -> Measured:
    """Raises UserError if there is no memorized row, or no non-memorized one for an attribution that needs it."""
    memorized = material.rows(material.memorized, max_memorized)
    non_memorized = material.rows(material.non_memorized, max_non_memorized)
    if not len(memorized):
        raise UserError(
            "analysis weight_noise has no memorized paragraph to attribute to: give paragraphs that the model recites"
        )
    if not len(non_memorized) and "retain" in getattr(attribution, "depends_on", ()):
        raise UserError(
            "analysis.weight_noise.attribution needs non-memorized paragraphs and there is none: "
            "give some, or leave analysis.weight_noise.attribution at its default, which needs none"
        )
    drawn = [int(seed) for seed in np.random.SeedSequence(material.seed).generate_state(seeds)]
    rows = Rows.of(memorized, non_memorized, material.clusters, drawn)
    try:
        masks = choose(material, rows, attribution=attribution, fraction=fraction, filter=filter, seeds=drawn)
    except UserError as error:
        # The options of a mask have the same names here.
        raise UserError(str(error).replace("mask.", "analysis.weight_noise.")) from error
    own = material.own(material.paragraphs.select(non_memorized))
    unit = weight_spread(material.model, material.weights)
    scores = weight_noise(
        material.model,
        {name: [mask.indices for mask in of_seeds] for name, of_seeds in masks.items()},
        concatenate([material.paragraphs.select(rows.all), own]),
        unit,
        scales,
        drawn,
        material.batch_size,
        torch.cat([rows.read, rows.read[:, len(memorized) :]], dim=1),
    )
    sizes = [len(memorized), len(non_memorized), len(non_memorized)]
    of_own = score(material.model, own, material.batch_size)
    return Measured(
        kinds=np.repeat(["memorized", "non_memorized", "own"], sizes),
        clusters=torch.cat([material.clusters[rows.all], material.clusters[non_memorized]]).numpy(),
        scores=scores,
        before=ParagraphScores.concatenate([material.scores.select(rows.all), of_own]),
        unit=unit,
        top=masks[TOP][0],
        held_out=rows.held_out,
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """memorized, non_memorized: [n], [m] int64 positions in the material. chosen_for, read: [seeds, n + m] bool, of the rows
    of both, memorized ones first: of each group one half of the clusters and the other, or all of it where it is one cluster.
    """

    memorized: Tensor
    non_memorized: Tensor
    chosen_for: Tensor
    read: Tensor

    @staticmethod
    def of(memorized: Tensor, non_memorized: Tensor, clusters: Tensor, seeds: Sequence[int]) -> Rows:
        """Draws the halves anew for each seed. clusters: [N], of the material."""
        labels, others = clusters[memorized].numpy(), clusters[non_memorized].numpy()
        halves = [_halves(labels, others, np.random.default_rng(seed)) for seed in seeds]
        chosen_for, read = (torch.from_numpy(np.stack(part)) for part in zip(*halves, strict=True))
        return Rows(memorized, non_memorized, chosen_for, read)

    @property
    def all(self) -> Tensor:
        return torch.cat([self.memorized, self.non_memorized])

    @property
    def held_out(self) -> bool:
        """Whether no row is read that weights were chosen for."""
        return not bool((self.chosen_for & self.read).any())


def _halves(memorized: np.ndarray, others: np.ndarray, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """([n + m] chosen for, [n + m] read), given both groups' cluster labels. A cluster of both groups lies on one side."""
    clusters = np.unique(memorized)
    read = draws.permutation(clusters)[: (len(clusters) + 1) // 2]
    free = np.setdiff1d(others, clusters)
    of_others = np.r_[draws.permutation(free)[: (len(free) + 1) // 2], read]
    sides = [np.isin(memorized, read), np.isin(others, of_others)]
    chosen_for = [~side if not side.all() else side for side in sides]
    return np.concatenate(chosen_for), np.concatenate([side if side.any() else ~side for side in sides])


def choose(
    material: Material, rows: Rows, *, attribution: Attribution, fraction: float, filter: Filter, seeds: Sequence[int]
) -> dict[str, list[Mask]]:
    """By name each choice's weights for every seed, all equally many. Without a non-memorized row there is no control.

    Raises UserError as `select_top` does.
    """
    names = [weight.name for weight in material.weights]
    split = len(rows.memorized)
    masks: dict[str, list[Mask]] = {name: [] for name in (TOP, CONTROL, RANDOM, MATCHED)}
    for seed, chosen_for in zip(seeds, rows.chosen_for, strict=True):
        memorized, others = (
            material.paragraphs.select(group[part])
            for group, part in ((rows.memorized, chosen_for[:split]), (rows.non_memorized, chosen_for[split:]))
        )
        scores = attribute(material.model, names, memorized, others, attribution, material.batch_size, material.seed)
        top = select_top(scores, material.weights, fraction, filter)
        masks[TOP].append(top)
        if len(others):
            swapped = attribute(material.model, names, others, memorized, attribution, material.batch_size, material.seed)
            masks[CONTROL].append(select_top(swapped, material.weights, fraction, filter))
        masks[RANDOM].append(select_random(material.weights, fraction, filter, seed))
        masks[MATCHED].append(select_random_matched(top, material.weights, filter, seed))
    return {name: drawn for name, drawn in masks.items() if drawn}
