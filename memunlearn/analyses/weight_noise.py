"""analysis=weight_noise: noise on the weights with the highest attribution, against as many others (paper, section 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from memunlearn.analyses.material import Material
from memunlearn.analyses.weight_noise_choices import Rows, choose
from memunlearn.analyses.weight_noise_comparison import Rises, Specificity, specificity
from memunlearn.analyses.weight_noise_curves import CONTROL, TOP, NoiseCurves, charts, table
from memunlearn.analyses.weight_noise_words import compared_at, notes, numbers, sentences
from memunlearn.errors import UserError
from memunlearn.localization.weight_attribution import Attribution, Gradient
from memunlearn.localization.weight_noise import NoiseScores, weight_noise, weight_spread
from memunlearn.models.filters import Filter
from memunlearn.paragraphs.paragraph_set import concatenate
from memunlearn.results.finding import Finding
from memunlearn.scoring.score import ParagraphScores, score

OVER_SEEDS = (
    "noise seeds, each with its own choices of weights and its own half of the clusters: lowest to highest, conditional on "
    "this model and these paragraphs; the comparison with the control: clusters of near-duplicates, too"
)


@dataclass(frozen=True)
class WeightNoise:
    """EM and NLL of memorized and non-memorized paragraphs with Gaussian noise on a fraction of the weights.

    Weights: those with the highest attribution of memorized rows (non-memorized ones as retain); as a control, those of
    non-memorized rows; and random ones (free, or as many in each tensor). For each seed they are chosen anew, for a half of the
    clusters of either group, and the other half is read: weights that suit some rows are no finding about others.

    fraction: of the eligible weights after the filter (layers, components, heads as in `Filter`). scales: standard deviations
    of the noise, in units of the standard deviation of all eligible weights of the model together. seeds: of noise, choices
    and halves; below 5 no difference is claimed. max_memorized, max_non_memorized: rows (None: all).
    """

    version: ClassVar[int] = 2
    attribution: Attribution = Gradient()
    fraction: float = 0.001
    scales: Sequence[float] = (1, 2, 4, 8)
    seeds: int = 5
    max_memorized: int | None = 64
    max_non_memorized: int | None = 64
    layers: Sequence[int] | None = None
    components: Sequence[str] | None = None
    heads: Sequence[int] | None = None

    def __post_init__(self) -> None:
        option = "analysis.weight_noise"
        if not callable(self.attribution):
            raise UserError(f"{option}.attribution is no attribution: give it a _target_, as in conf/attribution/gradient.yaml")
        if not _is_positive(self.fraction) or self.fraction > 1:
            raise UserError(f"{option}.fraction={self.fraction} is not a share of the weights: set a number above 0, at most 1")
        if not isinstance(self.scales, Sequence) or isinstance(self.scales, str) or not len(self.scales):
            raise UserError(
                f"{option}.scales={self.scales} is not a list: write [1, 2, 4], in standard deviations of the weights"
            )
        if not all(_is_positive(scale) for scale in self.scales) or sorted(set(self.scales)) != list(self.scales):
            raise UserError(f"{option}.scales={list(self.scales)}: set numbers above 0 that rise, such as [1, 2, 4]")
        for name in ("seeds", "max_memorized", "max_non_memorized"):
            value = getattr(self, name)
            if not _is_count(value) and (name == "seeds" or value is not None):
                raise UserError(f"{option}.{name}={value}: set a whole number from 1{', or null for all' * (name != 'seeds')}")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is no memorized row, or no non-memorized one for an attribution that needs it."""
        memorized = material.rows(material.memorized, self.max_memorized)
        non_memorized = material.rows(material.non_memorized, self.max_non_memorized)
        if not len(memorized):
            raise UserError(
                "analysis weight_noise has no memorized paragraph to attribute to: give paragraphs that the model recites"
            )
        if not len(non_memorized) and "retain" in getattr(self.attribution, "depends_on", ()):
            raise UserError(
                "analysis.weight_noise.attribution needs non-memorized paragraphs and there is none: "
                "give some, or leave analysis.weight_noise.attribution at its default, which needs none"
            )
        seeds = [int(seed) for seed in np.random.SeedSequence(material.seed).generate_state(self.seeds)]
        rows = Rows.of(memorized, non_memorized, material.clusters, seeds)
        filter = Filter(self.layers, self.components, self.heads)
        try:
            masks = choose(material, rows, self.attribution, self.fraction, filter, seeds)
        except UserError as error:
            # The options of a mask have the same names here.
            raise UserError(str(error).replace("mask.", "analysis.weight_noise.")) from error
        paragraphs, others = material.paragraphs.select(rows.all), material.paragraphs.select(non_memorized)
        own = material.own(others)
        before = ParagraphScores.concatenate(
            [material.scores.select(rows.all), score(material.model, own, material.batch_size)]
        )
        scores = weight_noise(
            material.model,
            {name: [mask.indices for mask in drawn] for name, drawn in masks.items()},
            concatenate([paragraphs, own]),
            weight_spread(material.model, material.weights),
            [float(scale) for scale in self.scales],
            seeds,
            material.batch_size,
            torch.cat([rows.read, rows.read[:, len(memorized) :]], dim=1),
        )
        group = np.repeat([0, 1, 2], [len(memorized), len(others), len(own)])
        curves = NoiseCurves.of(scores, before, {"memorized": group == 0, "non_memorized": group == 1})
        clusters = torch.cat([material.clusters[rows.all], material.clusters[non_memorized]]).numpy()
        found = _specificity(scores, before, group, clusters, compared_at(curves), material.seed)
        return Finding(
            name="weight_noise",
            title="Noise on the weights with the highest attribution",
            sentences=sentences(curves, self.fraction, found),
            unit=OVER_SEEDS,
            numbers=numbers(curves, masks[TOP][0], found),
            tables={"weight_noise": table(curves)},
            charts=charts(curves, self.fraction),
            notes=notes(curves, material, masks[TOP][0], rows.held_out),
        )


def _specificity(
    scores: NoiseScores, before: ParagraphScores, group: np.ndarray, clusters: np.ndarray, at: int, seed: int
) -> Specificity | None:
    """None without a control. group: [N], 0 memorized, 1 non-memorized, 2 own text."""
    if CONTROL not in scores.choices:
        return None
    rises = scores.nll.numpy() - before.nll.double().numpy()
    top, control = (rises[scores.choices.index(choice)] for choice in (TOP, CONTROL))
    members = (group == 0, group == 1, group == 2)
    return specificity(Rises(top, control, scores.read.numpy(), np.array(scores.scales), *members, clusters), at, seed)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
