"""The trials over planting seeds: what comes back by the weights that were used to forget, against the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.known_answer.compare import Mean
from memunlearn.analyses.known_answer.relearning.measure import NEVER, TRUE, WEIGHTS, Trial
from memunlearn.statistics.intervals import ANY_NUMBER, Limits
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval
from memunlearn.statistics.sign_flips import above_zero_p


@dataclass(frozen=True, kw_only=True)
class Back:
    """After so many steps of relearning, over the seeds whose paragraphs were forgotten.

    em, longest_run: tokens, of the paragraphs that were not taught again; taught: EM of those that were. over_true: difference
    in em to the true weights, paired by seed. p: two-sided, of that difference, corrected for all plants, weights and steps.
    over_true has no value, and p is None, for the true weights themselves and where no seed has both; p too below
    SEEDS_AT_LEAST such seeds.
    """

    steps: int
    em: Mean
    longest_run: Mean
    taught: Mean
    over_true: Mean
    p: float | None


@dataclass(frozen=True, kw_only=True)
class Forgot:
    """One choice of weights in one plant (None: the model that never learned the paragraphs), over seeds.

    planted, forgotten: seeds whose paragraphs were planted; and then forgotten. steps, em, other_kl: of forgetting, over the
    forgotten. in_plant: share of the weights used that lies in the plant. back: by steps of relearning, from 0 on.
    """

    plant: str | None
    weights: str
    planted: int
    forgotten: int
    in_plant: Mean
    steps: Mean
    em: Mean
    other_kl: Mean
    back: tuple[Back, ...]

    @property
    def worst(self) -> Back:
        """After the steps, 1 or more, that bring most back on average: an attacker chooses."""
        return max(self.back[1:], key=lambda back: back.em.value or 0.0)

    @property
    def differs(self) -> bool:
        """From the true weights, at some number of steps."""
        return any(one.p is not None and one.p < SIGNIFICANT for one in self.back)


Key = tuple[str | None, str]
"""plant, weights."""


def compare(trials: Sequence[Trial], kinds: Sequence[str], steps: Sequence[int]) -> list[Forgot]:
    """The model that never learned them first, then every plant x weights, in this order. steps: of relearning."""
    keys: list[Key] = [(None, NEVER), *((kind, weights) for kind in kinds for weights in WEIGHTS)]
    by_key = {key: [one for one in trials if (one.plant, one.weights) == key] for key in keys}
    at = (0, *steps)
    differences = {
        (kind, weights, place): _paired(by_key[kind, weights], by_key[kind, TRUE], place)
        for kind in kinds
        for weights in WEIGHTS
        if weights != TRUE
        for place in range(1, len(at))
    }
    p = two_sided_p(differences)
    return [_forgot(key, of_key, at, differences, p) for key, of_key in by_key.items()]


def two_sided_p(differences: dict[tuple[str, str, int], dict[int, float]]) -> dict[tuple[str, str, int], float]:
    """Of each cell with SEEDS_AT_LEAST seeds: p of a mean difference on either side of 0, corrected for all such cells.

    differences: by cell and seed. Both signs of every cell are one family of `above_zero_p`: the smallest p is 2 / 2^seeds.
    """
    cells = [cell for cell, of_seeds in differences.items() if len(of_seeds) >= SEEDS_AT_LEAST]
    if not cells:
        return {}
    seeds = sorted({seed for cell in cells for seed in differences[cell]})
    values = np.array([[differences[cell].get(seed, np.nan) for cell in cells] for seed in seeds])
    above, below = np.split(above_zero_p(np.hstack([values, -values])), 2)
    return dict(zip(cells, np.minimum(above, below).tolist(), strict=True))


def _forgot(
    key: Key,
    of_key: Sequence[Trial],
    at: Sequence[int],
    differences: dict[tuple[str, str, int], dict[int, float]],
    p: dict[tuple[str, str, int], float],
) -> Forgot:
    plant, weights = key
    taught_again = [one for one in of_key if one.course]
    forgotten = [(one, one.forgotten) for one in taught_again if one.forgotten is not None]
    tokens = (0, taught_again[0].course[0].other.token_nll.shape[1]) if taught_again else (0, 0)
    back = []
    for place, steps in enumerate(at):
        courses = [one.course[place] for one in taught_again]
        cell = (str(plant), weights, place)
        back.append(
            Back(
                steps=steps,
                em=_mean([mean_of(one.other.em) for one in courses], tokens),
                longest_run=_mean([mean_of(one.other.values["longest_run"]) for one in courses], tokens),
                taught=_mean([mean_of(one.taught.em) for one in courses], tokens),
                over_true=_mean(list(differences.get(cell, {}).values()), ANY_NUMBER),
                p=p.get(cell),
            )
        )
    return Forgot(
        plant=plant,
        weights=weights,
        planted=sum(one.is_planted for one in of_key),
        forgotten=len(forgotten),
        in_plant=_mean([one.in_plant for one in of_key if one.in_plant is not None], (0, 1)),
        steps=_mean([how.steps for _, how in forgotten]),
        em=_mean([mean_of(how.em) for _, how in forgotten], tokens),
        other_kl=_mean([one.other_kl for one, _ in forgotten if one.other_kl is not None]),
        back=tuple(back),
    )


def mean_of(values: Tensor) -> float:
    return float(values.double().mean())


def other_em(trial: Trial, place: int) -> float:
    """Mean EM of the paragraphs that were not taught again, at a place of the course."""
    return mean_of(trial.course[place].other.em)


def _paired(mine: Sequence[Trial], true: Sequence[Trial], place: int) -> dict[int, float]:
    """By seed in which both were forgotten: how much more of the other half comes back than through the true weights."""
    of_true = {one.seed: one for one in true if one.course}
    return {
        one.seed: other_em(one, place) - other_em(of_true[one.seed], place)
        for one in mine
        if one.course and one.seed in of_true
    }


def _mean(values: Sequence[float], limits: Limits = (0, np.inf)) -> Mean:
    """limits: of the interval, which Student's t does not know."""
    if not values:
        return Mean(None, None)
    if len(values) < SEEDS_AT_LEAST:
        return Mean(float(np.mean(values)), None)
    return Mean(*mean_interval(values, limits))
