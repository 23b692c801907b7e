"""The plantings of `known_answer` over seeds: each attribution against what finds the plant without knowing the paragraph.

Controls, paired by seed and in the same planted model: the same attribution of another paragraph, which nobody planted; |w|;
random scores; and the same attribution of the planted paragraph in the model before planting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.known_answer.measure import MEASURES, Measure, Planting
from memunlearn.localization.known_answer import MAGNITUDE, METHODS, RANDOM, Answer
from memunlearn.statistics.retrieval import Retrieval
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval
from memunlearn.statistics.sign_flips import above_zero_p

ANOTHER, UNPLANTED = "another", "unplanted"
CONTROLS = (ANOTHER, MAGNITUDE, UNPLANTED, RANDOM)
ATTRIBUTIONS = tuple(name for name in METHODS if name != RANDOM)


Cell = tuple[str, float, str]
"""plant, level, attribution."""


@dataclass(frozen=True)
class Mean:
    """Over seeds; interval: 95 %, None below SEEDS_AT_LEAST seeds. value is None where there is no seed."""

    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One attribution on one plant at one level, over the seeds whose model of that level was scored; by measure.

    em: mean over paragraphs and seeds, 0..C; nll: the same, nats per token: of the planted paragraphs in the scored models;
    None where there is none. planted: how well it finds the plant in these models; ceiling: how well |w - w of the base model|
    does. controls: the same of each control; over: differences to it, paired by seed. p: by control, of a difference in AUPRC
    above 0, corrected for all attributions, plants, levels and controls (`above_zero_p`); None below SEEDS_AT_LEAST seeds.
    """

    plant: str
    level: float
    attribution: str
    seeds: int
    em: float | None
    nll: float | None
    planted: dict[Measure, Mean]
    ceiling: dict[Measure, Mean]
    controls: dict[str, dict[Measure, Mean]]
    over: dict[str, dict[Measure, Mean]]
    p: dict[str, float | None]

    @property
    def can_tell(self) -> bool:
        return self.seeds >= SEEDS_AT_LEAST

    @property
    def strongest(self) -> str | None:
        """The control whose difference in AUPRC is least sure to be above 0: the one that a find stands or falls with."""
        known = {name: p for name, p in self.p.items() if p is not None}
        return max(known, key=lambda name: (known[name], self.controls[name]["auprc"].value or 0), default=None)

    @property
    def finds(self) -> bool:
        """Its AUPRC is above that of every control."""
        p = None if self.strongest is None else self.p[self.strongest]
        return p is not None and p < SIGNIFICANT


def compare(plantings: Sequence[Planting], plants: Sequence[str], levels: Sequence[float]) -> list[Compared]:
    """Every plant x level x attribution, in this order; those that no seed has a model of, too (seeds = 0)."""
    null = {(one.answer.plant, one.seed): one.answer for one in plantings if one.answer.level is None}
    cells = [(plant, level, name) for plant in plants for level in levels for name in ATTRIBUTIONS]
    scored = {
        (plant, level): [
            one for one in plantings if (one.answer.plant, one.answer.level) == (plant, level) and one.answer.is_planted
        ]
        for plant in plants
        for level in levels
    }
    p = _corrected([(cell, control) for cell in cells for control in CONTROLS], scored, null)
    return [_compared(cell, scored[cell[:2]], null, p) for cell in cells]


def _compared(
    cell: Cell,
    at: Sequence[Planting],
    null: Mapping[tuple[str, int], Answer],
    p: Mapping[tuple[Cell, str], float],
) -> Compared:
    """at: the plantings of the cell's plant and level that were scored."""
    plant, level, name = cell
    em, nll = planted_em_and_nll([one.answer for one in at])
    own = [one.answer.found[name] for one in at]
    against = {control: [_control(one, control, name, null) for one in at] for control in CONTROLS}
    differences = {
        control: {
            measure: [getattr(a, measure) - getattr(b, measure) for a, b in zip(own, others, strict=True)]
            for measure in MEASURES
        }
        for control, others in against.items()
    }
    return Compared(
        plant=plant,
        level=level,
        attribution=name,
        seeds=len(at),
        em=em,
        nll=nll,
        planted=_means(own),
        ceiling=_means([one.answer.moved for one in at if one.answer.moved is not None]),
        controls={control: _means(others) for control, others in against.items()},
        over={control: {measure: _mean(of[measure]) for measure in MEASURES} for control, of in differences.items()},
        p={control: p[cell, control] if len(at) >= SEEDS_AT_LEAST else None for control in CONTROLS},
    )


def _corrected(
    tests: Sequence[tuple[Cell, str]],
    scored: Mapping[tuple[str, float], Sequence[Planting]],
    null: Mapping[tuple[str, int], Answer],
) -> dict[tuple[Cell, str], float]:
    """p of every test, those of cells with too few seeds left out of the correction."""
    tests = [(cell, control) for cell, control in tests if len(scored[cell[:2]]) >= SEEDS_AT_LEAST]
    seeds = sorted({one.seed for at in scored.values() for one in at})
    differences = np.full((len(seeds), len(tests)), np.nan)
    for column, ((plant, level, name), control) in enumerate(tests):
        for one in scored[plant, level]:
            own, other = one.answer.found[name], _control(one, control, name, null)
            differences[seeds.index(one.seed), column] = own.auprc - other.auprc
    return dict(zip(tests, above_zero_p(differences).tolist(), strict=True)) if tests else {}


def _control(one: Planting, control: str, attribution: str, null: Mapping[tuple[str, int], Answer]) -> Retrieval:
    answer = one.answer
    if control == ANOTHER:
        return answer.other[attribution]
    if control == UNPLANTED:
        return null[answer.plant, one.seed].found[attribution]
    if control == RANDOM:
        return answer.found[RANDOM]
    assert answer.magnitude is not None
    return answer.magnitude


def _means(found: Sequence[Retrieval]) -> dict[Measure, Mean]:
    return {measure: _mean([getattr(one, measure) for one in found], (0, 1)) for measure in MEASURES}


def planted_em_and_nll(answers: Sequence[Answer]) -> tuple[float | None, float | None]:
    """Mean over the planted paragraphs of all answers: 0..C, and nats per token; None without an answer."""
    if not answers:
        return None, None
    em, nll = (torch.cat(list(values)).double().mean() for values in zip(*((one.em, one.nll) for one in answers), strict=True))
    return float(em), float(nll)


def _mean(values: Sequence[float], limits: tuple[float, float] = (-1, 1)) -> Mean:
    """limits: what the measure can be at all; Student's t knows none."""
    if not values:
        return Mean(None, None)
    if len(values) < SEEDS_AT_LEAST:
        return Mean(float(np.mean(values)), None)
    mean, interval = mean_interval(values)
    return Mean(mean, interval and (max(limits[0], interval[0]), min(limits[1], interval[1])))
