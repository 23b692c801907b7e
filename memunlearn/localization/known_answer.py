"""Does an attribution find weights that are known to hold a paragraph? Planted models attributed, scored against the plant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.localization.planting import Outcome, PlantedState, Recipe, plant_paragraphs
from memunlearn.localization.weight_attribution import (
    Attribution,
    Contrastive,
    Fisher,
    Gradient,
    GradientTimesWeight,
    Names,
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

    def __call__(
        self,
        model: PreTrainedModel,
        names: Names,
        forget: ParagraphSet,
        retain: ParagraphSet,
        batch_size: int,
        seed: int,
    ) -> Scores:
        generator = torch.Generator().manual_seed(seed)
        shapes = {name: model.get_parameter(name).shape for name in names}
        return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


RANDOM = "random"
METHODS: Mapping[str, Attribution] = {
    "gradient": Gradient(),
    "gradient_x_weight": GradientTimesWeight(),
    "contrastive": Contrastive(),
    "fisher": Fisher(),
    RANDOM: RandomScores(),
}
"""Every attribution of `weight_attribution`, by the name of its config, and random scores."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the attributions find of one plant, in the model of one level or (level None) in the unplanted base model.

    plant: its name. level, outcome, steps, em [n], nll [n]: as in PlantedState; the base model's are "unplanted" and 0 steps.
    retain_nll: mean over retain rows, nats per token; None where there is no model to score.
    found: by attribution; empty where there is no model to score.
    """

    plant: str
    level: float | None
    outcome: Outcome
    steps: int
    em: Tensor
    nll: Tensor
    retain_nll: float | None
    found: Mapping[str, Retrieval]

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
    planted: ParagraphSet,
    retain: ParagraphSet,
    batch_size: int,
    seed: int,
    methods: Mapping[str, Attribution] = METHODS,
) -> dict[str, dict[str, Retrieval]]:
    """By truth (such as `planted_positions`) and attribution: how well it ranks those weights above all other eligible ones.

    forget = the planted paragraphs, as in the objectives. One attribution at a time is held, as fp32 [eligible]. Raises
    UserError where an attribution's scores are not numbers.
    """
    names = [weight.name for weight in weights]
    found: dict[str, dict[str, Retrieval]] = {plant: {} for plant in truths}
    for label, method in methods.items():
        scores = attribute(model, names, planted, retain, method, batch_size, seed)
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


def known_answer(
    model: PreTrainedModel,
    weights: Sequence[WeightTensor],
    plants: Mapping[str, Indices],
    planted: ParagraphSet,
    retain: ParagraphSet,
    reference: ReferenceStates,
    recipe: Recipe,
    batch_size: int,
    seed: int,
) -> Iterator[Answer]:
    """For one planting seed: for each plant the base model's answer (the null), then that of each level.

    planted: the same new paragraphs for every plant. retain: other rows; text to keep while planting, and the retain rows of
    the attributions. reference: the model's states on them. Every plant starts from `model`, which is left as it is.
    """
    truths = {name: planted_positions(indices, weights) for name, indices in plants.items()}
    null = find(model, weights, truths, planted, retain, batch_size, seed)
    base, kept = score(model, planted, batch_size), float(score(model, retain, batch_size).nll.mean())
    for number, (plant, indices) in enumerate(plants.items()):
        yield Answer(plant, None, "unplanted", 0, base.em, base.nll, kept, null[plant])
        states = plant_paragraphs(model, indices, planted, retain, reference, recipe, seed)
        for place, state in enumerate(states):
            # Random scores of every state are drawn anew; of the attributions, only the Fisher's labels depend on the seed.
            drawn = seed + 1 + place + number * len(recipe.levels)
            yield _answer(state, plant, truths[plant], weights, planted, retain, batch_size, drawn)


def _answer(
    state: PlantedState,
    plant: str,
    truth: np.ndarray,
    weights: Sequence[WeightTensor],
    planted: ParagraphSet,
    retain: ParagraphSet,
    batch_size: int,
    seed: int,
) -> Answer:
    if state.model is None:
        return Answer(plant, state.level, state.outcome, state.steps, state.em, state.nll, None, {})
    found = find(state.model, weights, {plant: truth}, planted, retain, batch_size, seed)[plant]
    kept = float(score(state.model, retain, batch_size).nll.mean())
    return Answer(plant, state.level, state.outcome, state.steps, state.em, state.nll, kept, found)
