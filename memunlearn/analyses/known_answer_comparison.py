"""The plantings of `known_answer` over seeds: against the unplanted model and against random scores, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from memunlearn.localization.known_answer import METHODS, RANDOM, Answer
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval

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


@dataclass(frozen=True)
class Mean:
    """Over seeds; interval: 95 %, None below SEEDS_AT_LEAST seeds. value is None where there is no seed."""

    value: float | None
    interval: tuple[float, float] | None

    @property
    def above_zero(self) -> bool:
        return self.interval is not None and self.interval[0] > 0


@dataclass(frozen=True)
class Compared:
    """One attribution on one plant at one level, over the seeds whose model of that level was scored; by measure.

    em: mean over paragraphs and seeds, 0..C; nll: the same, nats per token: of the planted paragraphs in the scored models;
    None where there is none. planted, unplanted: how well it finds the plant in the planted and the base model of these seeds.
    over_unplanted, over_random: differences paired by seed; random: random scores of the same planted models.
    """

    plant: str
    level: float
    attribution: str
    seeds: int
    em: float | None
    nll: float | None
    planted: dict[str, Mean]
    unplanted: dict[str, Mean]
    over_unplanted: dict[str, Mean]
    over_random: dict[str, Mean]

    @property
    def can_tell(self) -> bool:
        return self.seeds >= SEEDS_AT_LEAST

    @property
    def finds(self) -> bool:
        """AUPRC above that of the unplanted model and of random scores: both intervals lie above 0."""
        return self.over_unplanted["auprc"].above_zero and self.over_random["auprc"].above_zero


def compare(plantings: Sequence[Planting], plants: Sequence[str], levels: Sequence[float]) -> list[Compared]:
    """Every plant x level x attribution, in this order; those that no seed has a model of, too (seeds = 0)."""
    null = {(one.answer.plant, one.seed): one.answer for one in plantings if one.answer.level is None}
    found = []
    for plant in plants:
        for level in levels:
            scored = [
                one for one in plantings if (one.answer.plant, one.answer.level) == (plant, level) and one.answer.is_planted
            ]
            em, nll = planted_em_and_nll([one.answer for one in scored])
            for name in METHODS:
                values = {
                    measure: [
                        (
                            getattr(one.answer.found[name], measure),
                            getattr(null[plant, one.seed].found[name], measure),
                            getattr(one.answer.found[RANDOM], measure),
                        )
                        for one in scored
                    ]
                    for measure in MEASURES
                }
                found.append(
                    Compared(
                        plant,
                        level,
                        name,
                        len(scored),
                        em,
                        nll,
                        {key: _mean([planted for planted, _, _ in rows], (0, 1)) for key, rows in values.items()},
                        {key: _mean([unplanted for _, unplanted, _ in rows], (0, 1)) for key, rows in values.items()},
                        {key: _mean([planted - unplanted for planted, unplanted, _ in rows]) for key, rows in values.items()},
                        {key: _mean([planted - random for planted, _, random in rows]) for key, rows in values.items()},
                    )
                )
    return found


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
        k = of_plant[0].k
        plant = numbers["plants"].setdefault(one.plant, {"k": k, "chance": k / of_plant[0].eligible, "levels": {}})
        at_level = [planting.answer for planting in of_plant if planting.answer.level == one.level]
        level = plant["levels"].setdefault(f"{one.level:g}", _how_planting_went(at_level))
        level["attributions"][one.attribution] = {"finds": one.finds if one.can_tell else None} | _entries(one)
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
    entries: dict[str, Any] = {}
    for measure in MEASURES:
        for suffix, mean in (
            ("", one.planted[measure]),
            ("_unplanted", one.unplanted[measure]),
            ("_over_unplanted", one.over_unplanted[measure]),
            ("_over_random", one.over_random[measure]),
        ):
            entries[f"{measure}{suffix}"] = mean.value
            entries[f"{measure}{suffix}_ci"] = None if mean.interval is None else list(mean.interval)
    return entries
