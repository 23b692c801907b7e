"""Does an attribution find weights that are known to hold a paragraph? Planted models attributed, scored against the plant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.localization.planting import Outcome, PlantedState, Recipe, plant_paragraphs
from memunlearn.localization.weight_attribution import (
    Asked,
    Attribution,
    Contrastive,
    Fisher,
    Gradient,
    GradientTimesWeight,
    Scores,
    attribute,
)
from memunlearn.models.components import WeightTensor
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.score import score
from memunlearn.statistics.retrieval import Ranking, Retrieval

Indices = Mapping[str, Tensor | None]


@dataclass(frozen=True)
class RandomScores:
    """Uniform scores: what an attribution that knows nothing finds."""

    def __call__(self, asked: Asked) -> Scores:
        generator = torch.Generator().manual_seed(asked.seed)
        shapes = {name: asked.model.get_parameter(name).shape for name in asked.names}
        return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


@dataclass(frozen=True)
class Magnitude:
    """|w|: what knows no paragraph, but that training made some weights large."""

    def __call__(self, asked: Asked) -> Scores:
        return {name: asked.model.get_parameter(name).detach().abs() for name in asked.names}


@dataclass(frozen=True, eq=False)
class Moved:
    """|w - w of the base model|: the answer itself, as far as the weights that were free to move have moved."""

    base: PreTrainedModel

    def __call__(self, asked: Asked) -> Scores:
        moved = {
            name: asked.model.get_parameter(name).detach() - self.base.get_parameter(name).detach() for name in asked.names
        }
        return {name: change.abs() for name, change in moved.items()}


RANDOM, MAGNITUDE, MOVED = "random", "magnitude", "moved"
METHODS: Mapping[str, Attribution] = {
    "gradient": Gradient(),
    "gradient_x_weight": GradientTimesWeight(),
    "contrastive": Contrastive(),
    "fisher": Fisher(),
    RANDOM: RandomScores(),
}
"""Every attribution of `weight_attribution`, by the name of its config, and random scores."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """What the attributions find of one plant, in the model of one level or (level None) in the unplanted base model.

    plant: its name. level, outcome, steps, em [n], nll [n]: as in PlantedState; the base model's are "unplanted" and 0 steps.
    retain_nll: mean over retain rows, nats per token; None where there is no model to score.
    found: by attribution, of the planted paragraphs; other: the same attributions of other paragraphs, which nobody planted, in
    the same model. Both are empty where there is no model to score. magnitude, moved: of |w| and |w - w of the base model|,
    None where there is no model to score, and moved in the base model itself.
    """

    plant: str
    level: float | None
    outcome: Outcome
    steps: int
    em: Tensor
    nll: Tensor
    retain_nll: float | None
    found: Mapping[str, Retrieval]
    other: Mapping[str, Retrieval]
    magnitude: Retrieval | None
    moved: Retrieval | None

    @property
    def is_planted(self) -> bool:
        """It is the answer of a planted model, and scored."""
        return self.outcome == "planted"


def planted_positions(indices: Indices, weights: Sequence[WeightTensor]) -> np.ndarray:
    """Where the planted weights stand when the scores of all eligible weights are laid end to end: [k] int64, sorted.

    The truth is every weight that was free to move, however far it did.
    """
    parts, start = [], 0
    for weight in weights:
        if weight.name in indices:
            flat = indices[weight.name]
            parts.append(start + (np.arange(weight.size) if flat is None else flat.cpu().numpy()))
        start += weight.size
    return np.concatenate(parts)


def find(
    model: PreTrainedModel,
    weights: Sequence[WeightTensor],
    truths: Mapping[str, np.ndarray],
    *,
    paragraphs: ParagraphSet,
    retain: ParagraphSet,
    batch_size: int,
    seed: int,
    methods: Mapping[str, Attribution] = METHODS,
) -> dict[str, dict[str, Retrieval]]:
    """By truth (such as `planted_positions`) and attribution: how well it ranks those weights above all other eligible ones.

    forget = the paragraphs, as in the objectives. One attribution at a time is held, as fp32 [eligible]. Raises
    UserError where an attribution's scores are not numbers.
    """
    names = [weight.name for weight in weights]
    found: dict[str, dict[str, Retrieval]] = {plant: {} for plant in truths}
    for label, method in methods.items():
        scores = attribute(model, names, paragraphs, retain, method=method, batch_size=batch_size, seed=seed)
        flat = torch.cat([scores[name].flatten().cpu() for name in names])
        if number := int(flat.isnan().sum()):
            raise UserError(
                f"analysis known_answer: {number:,} of {len(flat):,} scores of the attribution {label} are NaN, which cannot "
                "be ranked: look for NaN in the model's weights and in its NLL (analysis=em_nll), or load it in fp32"
            )
        ranking = Ranking(flat.numpy())
        for plant, truth in truths.items():
            found[plant][label] = ranking.find(truth)
    return found


@dataclass(frozen=True, eq=False)
class Rows:
    """planted: paragraphs that the model is taught. other: as many that it is not, in no cluster with them.

    retain: text to keep while planting, and the retain rows of the attributions.
    """

    planted: ParagraphSet
    other: ParagraphSet
    retain: ParagraphSet


def known_answer(
    model: PreTrainedModel,
    weights: Sequence[WeightTensor],
    plants: Mapping[str, Indices],
    *,
    rows: Rows,
    reference: ReferenceStates,
    recipe: Recipe,
    batch_size: int,
    seed: int,
) -> Iterator[Answer]:
    """For one planting seed: for each plant the base model's answer (the null), then that of each level.

    rows: the same ones for every plant. reference: the model's states on the retain rows. Every plant starts from `model`,
    which is left as it is.
    """
    truths = {name: planted_positions(indices, weights) for name, indices in plants.items()}
    nll = score(model, rows.planted, batch_size)
    unplanted = PlantedState(level=0.0, outcome="unplanted", model=model, steps=0, em=nll.em, nll=nll.nll)
    null = answers_of(unplanted, None, truths, base=model, weights=weights, rows=rows, batch_size=batch_size, seed=seed)
    for number, (plant, indices) in enumerate(plants.items()):
        yield null[plant]
        states = plant_paragraphs(model, indices, rows.planted, keep=rows.retain, reference=reference, recipe=recipe, seed=seed)
        for place, state in enumerate(states):
            # Random scores of every state are drawn anew; of the attributions, only the Fisher's labels depend on the seed.
            drawn = seed + 1 + place + number * len(recipe.levels)
            truth = {plant: truths[plant]}
            yield answers_of(
                state, state.level, truth, base=model, weights=weights, rows=rows, batch_size=batch_size, seed=drawn
            )[plant]


def answers_of(
    state: PlantedState,
    level: float | None,
    truths: Mapping[str, np.ndarray],
    *,
    base: PreTrainedModel,
    weights: Sequence[WeightTensor],
    rows: Rows,
    batch_size: int,
    seed: int,
) -> dict[str, Answer]:
    """What is found of each truth in a state's model, by its name; nothing where there is no model."""
    same: dict[str, Any] = {"level": level, "outcome": state.outcome, "steps": state.steps, "em": state.em, "nll": state.nll}
    if state.model is None:
        nothing: dict[str, Any] = {"retain_nll": None, "found": {}, "other": {}, "magnitude": None, "moved": None}
        return {plant: Answer(plant=plant, **same, **nothing) for plant in truths}
    model, retain = state.model, rows.retain
    search = partial(find, model, weights, truths, retain=retain, batch_size=batch_size, seed=seed)
    found = search(paragraphs=rows.planted)
    other = search(paragraphs=rows.other, methods={name: method for name, method in METHODS.items() if name != RANDOM})
    blind: dict[str, Attribution] = {MAGNITUDE: Magnitude()} | ({} if model is base else {MOVED: Moved(base)})
    by_weights = search(paragraphs=rows.planted, methods=blind)
    kept = float(score(model, retain, batch_size).nll.mean())
    return {
        plant: Answer(
            plant=plant,
            **same,
            retain_nll=kept,
            found=found[plant],
            other=other[plant],
            magnitude=by_weights[plant][MAGNITUDE],
            moved=by_weights[plant].get(MOVED),
        )
        for plant in truths
    }
