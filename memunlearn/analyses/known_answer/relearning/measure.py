"""Trials: paragraphs planted in known weights, forgotten through these, found or random ones, and half of them taught again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.analyses.known_answer.measure import draw_rows, fresh_rows
from memunlearn.analyses.material import Material
from memunlearn.localization.forgetting import Forgetting, Forgotten, Relearned, forget, relearn
from memunlearn.localization.known_answer import METHODS, RANDOM, Rows, planted_positions
from memunlearn.localization.planting import PlantedState, Recipe, plant_paragraphs
from memunlearn.localization.weight_attribution import attribute
from memunlearn.masks.plants import Plant, draw_plant
from memunlearn.masks.selection import Mask, select_all, select_random, select_top
from memunlearn.paragraphs.cluster_choice import number_generator
from memunlearn.progress import track
from memunlearn.scoring.score import reference_states, score

TRUE, ALL, NEVER = "true", "all", "never planted"
WEIGHTS = (TRUE, *METHODS, ALL)
"""Which weights are used to forget: the plant's own, as many that each attribution found, as many random ones, all eligible."""


@dataclass(frozen=True)
class Relearning:
    """planted: paragraphs a planting, half of which are taught again. forgetting: how all of them are forgotten through as many
    weights as the plant has; forgetting_all: through all weights, which have to move less far.

    steps, learning_rate: of relearning (`localization.forgetting.relearn`), ascending.
    """

    planted: int
    forgetting: Forgetting
    forgetting_all: Forgetting
    steps: tuple[int, ...]
    learning_rate: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """One set of paragraphs, forgotten through one choice of weights.

    seed: number of the planting, 0 .. seeds - 1. plant, place: as in `Plant`; None for the model that never learned the
    paragraphs, whose weights are NEVER. k: weights used; in_plant: the share of them that lies in the plant.
    is_planted: every paragraph was recited (EM = C) before. forgotten: None where none was planted. other_kl: mean KL, nats per
    token, between the planted model and the one that forgot, on paragraphs in no loss. course: of relearning, from 0 steps on;
    empty unless the paragraphs were forgotten, or never planted.
    """

    seed: int
    plant: str | None
    place: str
    weights: str
    k: int
    in_plant: float | None = None
    is_planted: bool = False
    forgotten: Forgotten | None = None
    other_kl: float | None = None
    course: Sequence[Relearned] = ()


def hold(
    material: Material,
    recipe: Recipe,
    relearning: Relearning,
    *,
    kinds: Sequence[str],
    seeds: int,
    retain: int,
    fraction: float,
) -> Iterator[Trial]:
    """For each seed the model that never learned the paragraphs, then each plant's trials. The same rows for all of them.

    recipe: of planting, of whose levels only the lowest matters. Raises UserError where there are too few rows.
    """
    fresh = rows_for(material, relearning)
    for number in track(range(seeds), "forgetting and relearning"):
        generator = number_generator(material.seed, f"known_answer relearning {number}")
        rows = draw_rows(material, fresh, relearning.planted, retain, generator)
        seed = int(generator.integers(2**31))
        course = _taught_again(material, relearning, material.model, rows)
        yield Trial(seed=number, plant=None, place="", weights=NEVER, k=0, course=course)
        _, reference = reference_states(material.model, rows.retain, material.batch_size)
        for kind in kinds:
            plant = draw_plant(kind, material.weights, fraction, seed)
            *_, state = plant_paragraphs(
                material.model,
                plant.mask.indices,
                rows.planted,
                keep=rows.retain,
                reference=reference,
                recipe=recipe,
                seed=seed,
            )
            yield from _trials_of(material, relearning, plant, state, rows=rows, number=number, seed=seed)


def rows_for(material: Material, relearning: Relearning) -> Tensor:
    """[N] bool: rows that may be planted. Raises UserError where there are too few."""
    return fresh_rows(material, relearning.planted, "relearn_planted")


def _trials_of(
    material: Material,
    relearning: Relearning,
    plant: Plant,
    state: PlantedState,
    *,
    rows: Rows,
    number: int,
    seed: int,
) -> Iterator[Trial]:
    """One for each choice of weights; a single one, without a course, where the paragraphs could not be planted."""
    if state.model is None:
        yield Trial(seed=number, plant=plant.name, place=plant.place, weights=TRUE, k=plant.mask.k, in_plant=1.0)
        return
    _, reference = reference_states(state.model, rows.other, material.batch_size)
    for weights, mask in masks_of(material, plant, state.model, rows, seed).items():
        model, forgotten = forget(
            state.model,
            mask.indices,
            rows.planted,
            keep=rows.retain,
            recipe=relearning.forgetting_all if weights == ALL else relearning.forgetting,
            batch_size=material.batch_size,
            seed=seed,
        )
        kl = score(model, rows.other, material.batch_size, reference=reference).kl
        assert kl is not None
        yield Trial(
            seed=number,
            plant=plant.name,
            place=plant.place,
            weights=weights,
            k=mask.k,
            in_plant=share_in_plant(mask, plant.mask, material),
            is_planted=True,
            forgotten=forgotten,
            other_kl=float(kl.mean()),
            course=_taught_again(material, relearning, model, rows) if forgotten.is_forgotten else (),
        )


def masks_of(material: Material, plant: Plant, model: PreTrainedModel, rows: Rows, seed: int) -> Mapping[str, Mask]:
    """By each of WEIGHTS; all but ALL are exactly as many weights as the plant has."""
    weights = material.weights
    names = [weight.name for weight in weights]
    # Of all of them: `plant.mask.eligible` counts only those that its own filter lets through.
    fraction = plant.mask.k / sum(weight.size for weight in weights)
    masks = {TRUE: plant.mask}
    for label, method in METHODS.items():
        if label != RANDOM:
            scores = attribute(
                model, names, rows.planted, rows.retain, method=method, batch_size=material.batch_size, seed=seed
            )
            masks[label] = select_top(scores, weights, fraction)
    drawn = int(number_generator(seed, f"known_answer random {plant.name}").integers(2**32))
    return masks | {RANDOM: select_random(weights, fraction, seed=drawn), ALL: select_all(weights)}


def share_in_plant(mask: Mask, plant: Mask, material: Material) -> float:
    """Of the weights of a mask: the share that lies in the plant."""
    chosen, planted = (planted_positions(one.indices, material.weights) for one in (mask, plant))
    return float(np.isin(chosen, planted, assume_unique=True).mean())


def _taught_again(material: Material, relearning: Relearning, model: PreTrainedModel, rows: Rows) -> list[Relearned]:
    """The first half of the paragraphs is taught; they are one a cluster, in an order that the seed drew."""
    half = relearning.planted // 2
    taught, other = (rows.planted.select(torch.arange(*ends)) for ends in ((0, half), (half, relearning.planted)))
    return relearn(
        model,
        [weight.name for weight in material.weights],
        taught,
        other,
        steps=relearning.steps,
        learning_rate=relearning.learning_rate,
        batch_size=material.batch_size,
    )
