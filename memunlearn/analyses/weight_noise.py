"""analysis=weight_noise: noise on the weights with the highest attribution, against noise on random ones (paper, section 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.analyses.weight_noise_curves import MATCHED, RANDOM, TOP, NoiseCurves, charts, table
from memunlearn.errors import UserError
from memunlearn.localization.weight_attribution import Attribution, Gradient, attribute
from memunlearn.localization.weight_noise import weight_noise, weight_spread
from memunlearn.masks import Mask, select_random, select_random_matched, select_top
from memunlearn.models.filters import Filter
from memunlearn.reporting.finding import Finding

OVER_SEEDS = "noise seeds, each with its own random weights: lowest to highest, conditional on this model and these paragraphs"


@dataclass(frozen=True)
class WeightNoise:
    """EM and NLL of memorized and non-memorized paragraphs with Gaussian noise on a fraction of the weights.

    attribution: scores the weights, memorized rows as forget, non-memorized as retain. fraction: of the eligible weights after
    the filter (layers, components, heads as in `Filter`). scales: standard deviations of the noise, in units of the standard
    deviation of all eligible weights of the model together. seeds: how many draws of noise; the random weights, as many as
    the top ones (free, or as many in each tensor), are drawn anew for each. max_memorized, max_non_memorized: rows (None: all).
    """

    version: ClassVar[int] = 1
    attribution: Attribution = Gradient()
    fraction: float = 0.001
    scales: Sequence[float] = (1, 2, 4, 8)
    seeds: int = 3
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
        top, masks = self._masks(material, memorized, non_memorized, seeds)
        read = torch.cat([memorized, non_memorized])
        scores = weight_noise(
            material.model,
            {name: [mask.indices for mask in drawn] for name, drawn in masks.items()},
            material.paragraphs.select(read),
            weight_spread(material.model, material.weights),
            [float(scale) for scale in self.scales],
            seeds,
            material.batch_size,
        )
        curves = NoiseCurves.of(scores, material.scores.select(read), len(memorized))
        return Finding(
            name="weight_noise",
            title="Noise on the weights with the highest attribution",
            sentences=_sentences(curves, self.fraction),
            unit=OVER_SEEDS,
            numbers=_numbers(curves, top),
            tables={"weight_noise": table(curves)},
            charts=charts(curves, self.fraction),
            notes=_notes(curves, material, top),
        )

    def _masks(
        self, material: Material, memorized: Tensor, non_memorized: Tensor, seeds: Sequence[int]
    ) -> tuple[Mask, dict[str, list[Mask]]]:
        """The top weights; and for each choice those of each seed (the top ones are the same for all)."""
        names = [weight.name for weight in material.weights]
        forget, retain = (material.paragraphs.select(rows) for rows in (memorized, non_memorized))
        filter = Filter(self.layers, self.components, self.heads)
        scores = attribute(material.model, names, forget, retain, self.attribution, material.batch_size, material.seed)
        try:
            top = select_top(scores, material.weights, self.fraction, filter)
        except UserError as error:
            # The options of a mask have the same names here.
            raise UserError(str(error).replace("mask.", "analysis.weight_noise.")) from error
        return top, {
            TOP: [top] * len(seeds),
            RANDOM: [select_random(material.weights, self.fraction, filter, seed) for seed in seeds],
            MATCHED: [select_random_matched(top, material.weights, filter, seed) for seed in seeds],
        }


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _numbers(curves: NoiseCurves, top: Mask) -> dict[str, Any]:
    halved = curves.halved_at(TOP)
    at = len(curves.scales) - 1 if halved is None else halved
    return {
        "weights": top.k,
        "eligible": top.eligible,
        "noise_unit": curves.unit,
        "paragraphs": {name: curves.sizes[name] for name in curves.sets},
        "without_noise": {name: {"em": curves.before_em[name], "nll": curves.before_nll[name]} for name in curves.sets},
        "halved_at": None if halved is None else curves.scales[halved],
        "halved_at_by_choice": {
            choice: None if (place := curves.halved_at(choice)) is None else curves.scales[place] for choice in curves.choices
        },
        "compared_at": curves.scales[at],
        "at_that_scale": {
            choice: {
                name: {"em": curves.mean("em", choice, name, at), "nll": curves.mean("nll", choice, name, at)}
                for name in curves.sets
            }
            for choice in curves.choices
        },
    }


def _sentences(curves: NoiseCurves, fraction: float) -> tuple[str, ...]:
    halved = curves.halved_at(TOP)
    at = len(curves.scales) - 1 if halved is None else halved
    percent = f"{100 * fraction:.3g} %"
    before = f"{curves.before_em['memorized']:.1f}"
    after = f"{_shown(curves.mean('em', TOP, 'memorized', at), '.1f')} tokens"
    if halved is None:
        first = f"No noise up to {curves.scales[at]:g} standard deviations on the top {percent} of weights halves memorized EM"
        first += f" ({before} without noise, {after} at the most noise)"
    else:
        deviations = f"{curves.scales[at]:g} standard deviation{'' if curves.scales[at] == 1 else 's'}"
        first = f"Noise of {deviations} on the top {percent} of weights is the least that halves"
        first += f" memorized EM (from {before} to {after})"
    first += f"; there {_risen(curves, TOP, at)}."
    others = [choice for choice in curves.choices if choice != TOP]
    kept = ", ".join(f"{_shown(curves.mean('em', choice, 'memorized', at), '.1f')} with {choice} weights" for choice in others)
    return first, f"The same noise on as many random weights leaves memorized EM at {kept}: {_verdict(curves, others, at)}."


def _risen(curves: NoiseCurves, choice: str, at: int) -> str:
    rises = {name: _minus(curves.mean("nll", choice, name, at), curves.before_nll[name]) for name in curves.sets}
    said = "NLL changes by " + " and ".join(f"{_shown(rise, '+.2f')} ({_named(name)})" for name, rise in rises.items())
    said += " nats per token"
    known = [rise for rise in rises.values() if rise is not None]
    if len(known) < 2:
        return said
    by_seed = zip(*(curves.rises(choice, name, at) for name in curves.sets), strict=True)
    more = [memorized > non_memorized for memorized, non_memorized in by_seed]
    if all(more) or not any(more):
        return f"{said}: {'memorized' if all(more) else 'non-memorized'} text suffers more in {_seeds(curves)}"
    return f"{said}: which of them suffers more depends on the seed"


def _verdict(curves: NoiseCurves, others: Sequence[str], at: int) -> str:
    """What the seeds tell apart, one choice at a time."""
    said = []
    top = curves.over_seeds("em", TOP, "memorized", at)
    for choice in others:
        random = curves.over_seeds("em", choice, "memorized", at)
        if max(top) < min(random):
            said.append(f"the top weights do more harm than {choice} ones in {_seeds(curves)}")
        elif min(top) > max(random):
            said.append(f"the top weights do less harm than {choice} ones in {_seeds(curves)}")
        else:
            said.append(f"no difference between top and {choice} weights beyond that of seeds")
    return "; ".join(said)


def _seeds(curves: NoiseCurves) -> str:
    return "every seed" if curves.seeds > 1 else "the one seed that was drawn"


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _shown(value: float | None, form: str) -> str:
    return "no finite number" if value is None else format(value, form)


def _named(name: str) -> str:
    return name.replace("_", "-")


def _notes(curves: NoiseCurves, material: Material, top: Mask) -> tuple[str, ...]:
    notes = [
        f"Noise is Gaussian, in units of {curves.unit:.4g}, the standard deviation of all eligible weights together; "
        f"{top.k} of {top.eligible} weights get it. The top weights are those of the paragraphs that are read here.",
    ]
    if curves.seeds == 1:
        notes.append("One noise seed: there is no band.")
    if "non_memorized" not in curves.sets:
        notes.append("There is no non-memorized paragraph: only memorized ones are read.")
    if material.self_generated:
        notes.append("Continuations appear to be the model's own output: EM is agreement with what it said without noise.")
    return tuple(notes)
