"""The plantings of `known_answer` over seeds: each attribution against what finds the plant without knowing the paragraph.

Controls, paired by seed and in the same planted model: the same attribution of another paragraph, which nobody planted; |w|;
random scores; and the same attribution of the planted paragraph in the model before planting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from memunlearn.analyses.in_words import SIGNIFICANT
from memunlearn.localization.known_answer import MAGNITUDE, METHODS, RANDOM, Answer
from memunlearn.statistics.retrieval import Retrieval, auprc_by_chance
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval
from memunlearn.statistics.sign_flips import above_zero_p

Measure = Literal["auprc", "recall_at_k"]
MEASURES: tuple[Measure, ...] = ("auprc", "recall_at_k")
ANOTHER, UNPLANTED = "another", "unplanted"
CONTROLS = (ANOTHER, MAGNITUDE, UNPLANTED, RANDOM)
ATTRIBUTIONS = tuple(name for name in METHODS if name != RANDOM)


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


@dataclass(frozen=True)
class Mean:
    """Over seeds; interval: 95 %, None below SEEDS_AT_LEAST seeds. value is None where there is no seed."""

    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
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
    found = []
    for plant, level, name in cells:
        at = scored[plant, level]
        em, nll = planted_em_and_nll([one.answer for one in at])
        own = [one.answer.found[name] for one in at]
        against = {control: [_control(one, control, name, null) for one in at] for control in CONTROLS}
        found.append(
            Compared(
                plant,
                level,
                name,
                len(at),
                em,
                nll,
                _means(own),
                _means([one.answer.moved for one in at if one.answer.moved is not None]),
                {control: _means(values) for control, values in against.items()},
                {
                    control: {
                        measure: _mean([_of(a, measure) - _of(b, measure) for a, b in zip(own, values, strict=True)])
                        for measure in MEASURES
                    }
                    for control, values in against.items()
                },
                {control: p[(plant, level, name), control] if len(at) >= SEEDS_AT_LEAST else None for control in CONTROLS},
            )
        )
    return found


Cell = tuple[str, float, str]


def _corrected(
    tests: Sequence[tuple[Cell, str]],
    scored: dict[tuple[str, float], list[Planting]],
    null: dict[tuple[str, int], Answer],
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


def _control(one: Planting, control: str, attribution: str, null: dict[tuple[str, int], Answer]) -> Retrieval:
    answer = one.answer
    if control == ANOTHER:
        return answer.other[attribution]
    if control == UNPLANTED:
        return null[answer.plant, one.seed].found[attribution]
    if control == RANDOM:
        return answer.found[RANDOM]
    assert answer.magnitude is not None
    return answer.magnitude


def _of(found: Retrieval, measure: Measure) -> float:
    return found.auprc if measure == "auprc" else found.recall_at_k


def _means(found: Sequence[Retrieval]) -> dict[Measure, Mean]:
    return {measure: _mean([_of(one, measure) for one in found], (0, 1)) for measure in MEASURES}


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


def numbers_of(compared: Sequence[Compared], plantings: Sequence[Planting]) -> dict[str, Any]:
    """By plant: k, chance, and by level how the planting went and what each attribution found; JSON-able."""
    levels = [one.answer for one in plantings if one.answer.level is not None]
    runs = {(one.answer.plant, one.seed) for one in plantings}
    numbers: dict[str, Any] = {
        "eligible": plantings[0].eligible,
        "training_runs": len(runs),
        "states_scored": sum(answer.is_planted for answer in levels),
        "plants": {},
    }
    for one in compared:
        of_plant = [planting for planting in plantings if planting.answer.plant == one.plant]
        first = of_plant[0]
        chances = {"auprc_by_chance": first.chance("auprc"), "recall_by_chance": first.chance("recall_at_k")}
        plant = numbers["plants"].setdefault(one.plant, {"k": first.k} | chances | {"levels": {}})
        at_level = [planting.answer for planting in of_plant if planting.answer.level == one.level]
        level = plant["levels"].setdefault(f"{one.level:g}", _how_planting_went(at_level))
        level["attributions"][one.attribution] = _entries(one)
        level["ceiling"] = {measure: one.ceiling[measure].value for measure in MEASURES}
    return numbers


def _how_planting_went(answers: Sequence[Answer]) -> dict[str, Any]:
    """em, nll, steps: of the scored models; None where there is none."""
    scored = [answer for answer in answers if answer.is_planted]
    passed_over = sum(answer.outcome == "passed over" for answer in answers)
    em, nll = planted_em_and_nll(scored)
    return {
        "seeds": len(answers),
        "planted": len(scored),
        "passed_over": passed_over,
        "not_planted": len(answers) - len(scored) - passed_over,
        "em": em,
        "nll": nll,
        "steps": float(np.mean([answer.steps for answer in scored])) if scored else None,
        "attributions": {},
    }


def _entries(one: Compared) -> dict[str, Any]:
    """p: by control, corrected; strongest_control: the one with the largest."""
    entries: dict[str, Any] = {
        "finds": one.finds if one.can_tell else None,
        "strongest_control": one.strongest,
        "p": dict(one.p),
    }
    for measure in MEASURES:
        means = {"": one.planted[measure]}
        for control in CONTROLS:
            means[f"_{control}"] = one.controls[control][measure]
            means[f"_over_{control}"] = one.over[control][measure]
        for suffix, mean in means.items():
            entries[f"{measure}{suffix}"] = mean.value
            entries[f"{measure}{suffix}_ci"] = None if mean.interval is None else list(mean.interval)
    return entries
