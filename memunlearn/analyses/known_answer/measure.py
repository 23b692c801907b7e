"""Plantings: new paragraphs taught through known weights, and what the attributions find of those weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.analyses.options import require
from memunlearn.errors import UserError
from memunlearn.localization.known_answer import Answer, Rows, known_answer
from memunlearn.localization.planting import Recipe
from memunlearn.masks.plants import draw_plant
from memunlearn.paragraphs.bins import is_non_memorized
from memunlearn.paragraphs.cluster_choice import number_generator, thin
from memunlearn.progress import track
from memunlearn.scoring.score import reference_states
from memunlearn.statistics.retrieval import auprc_by_chance

Measure = Literal["auprc", "recall_at_k"]
MEASURES: tuple[Measure, ...] = ("auprc", "recall_at_k")


@dataclass(frozen=True)
class Planting:
    """seed: its number, 0 .. seeds - 1. place, k: of the plant. eligible: number of eligible weights."""

    seed: int
    place: str
    k: int
    eligible: int
    answer: Answer

    def chance(self, measure: Measure) -> float:
        """What a random ranking finds of the plant on average."""
        return auprc_by_chance(self.k, self.eligible) if measure == "auprc" else self.k / self.eligible


def plant(
    material: Material, recipe: Recipe, *, kinds: Sequence[str], seeds: int, planted: int, retain: int, fraction: float
) -> Iterator[Planting]:
    """Each seed plants the same new paragraphs in every kind of plant. Raises UserError where there are too few rows."""
    eligible = sum(weight.size for weight in material.weights)
    is_some = round(fraction * eligible) > 0
    require(is_some, "known_answer.fraction", fraction, f": that is none of {eligible} weights: set more")
    fresh = fresh_rows(material, planted)
    for number in track(range(seeds), "planting"):
        generator = number_generator(material.seed, f"known_answer {number}")
        rows = draw_rows(material, fresh, planted, retain, generator)
        seed = int(generator.integers(2**31))
        plants = {name: draw_plant(name, material.weights, fraction, seed) for name in kinds}
        _, reference = reference_states(material.model, rows.retain, material.batch_size)
        indices = {name: one.mask.indices for name, one in plants.items()}
        answers = known_answer(
            material.model,
            material.weights,
            indices,
            rows=rows,
            reference=reference,
            recipe=recipe,
            batch_size=material.batch_size,
            seed=seed,
        )
        for answer in answers:
            one = plants[answer.plant]
            yield Planting(number, one.place, one.mask.k, eligible, answer)


def fresh_rows(material: Material, planted: int, option: str = "planted") -> Tensor:
    """[N] bool: rows that may be planted: all of their cluster is non-memorized, by set and by EM.

    option: what sets `planted`, for the UserError where there are too few rows.
    """
    fresh = material.non_memorized
    if not material.self_generated:
        fresh = fresh & is_non_memorized(material.scores.em, material.paragraphs.continuation_length)
    fresh = fresh & ~torch.isin(material.clusters, material.clusters[~fresh])
    drawn, clusters = _drawn(material, planted), len(np.unique(material.clusters[fresh].numpy()))
    if clusters <= drawn:
        raise UserError(
            f"analysis known_answer needs {drawn + 1} non-memorized paragraphs that are no near-duplicates of each other "
            f"or of others, but there are {clusters}: give more paragraphs, or lower analysis.known_answer.{option} "
            f"(now {planted})"
        )
    return fresh


def draw_rows(material: Material, fresh: Tensor, planted: int, retain: int, generator: np.random.Generator) -> Rows:
    """The planted and the other paragraphs, one a cluster, and retain rows of yet other clusters."""
    clusters = material.clusters.numpy()
    drawn = thin(fresh.nonzero().flatten().numpy(), clusters, _drawn(material, planted), generator)
    others = material.non_memorized & ~torch.isin(material.clusters, material.clusters[drawn])
    kept = thin(others.nonzero().flatten().numpy(), clusters, retain, generator)
    rows = material.paragraphs.select(torch.from_numpy(drawn))
    new = rows.select(range(2 * planted))
    if material.self_generated:
        new = new.with_continuations(rows.continuations[1:])
    first, second = (new.select(range(start, start + planted)) for start in (0, planted))
    return Rows(first, second, material.paragraphs.select(torch.from_numpy(np.sort(kept))))


def _drawn(material: Material, planted: int) -> int:
    """Rows a planting: what the model said itself is not new to it, so the row before is given each one's continuation."""
    return 2 * planted + material.self_generated
