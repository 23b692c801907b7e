"""analysis=known_answer: does localization find what is really there?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.known_answer_charts import charts
from memunlearn.analyses.known_answer_comparison import ANOTHER, ATTRIBUTIONS, Planting, compare, numbers_of
from memunlearn.analyses.known_answer_report import notes, sentences
from memunlearn.analyses.material import Material
from memunlearn.errors import UserError
from memunlearn.localization.known_answer import MAGNITUDE, MOVED, RANDOM, Rows, known_answer
from memunlearn.localization.planting import Recipe
from memunlearn.masks.plants import PLANTS, draw_plant
from memunlearn.paragraphs.bins import is_non_memorized
from memunlearn.paragraphs.cluster_choice import number_generator, thin
from memunlearn.progress import track
from memunlearn.results.finding import Finding
from memunlearn.scoring.score import reference_states

OPTION = "analysis.known_answer"
OVER_SEEDS = "planting seeds (other weights, other paragraphs), Student's t: conditional on this model and these paragraphs"


@dataclass(frozen=True)
class KnownAnswer:
    """Copies of the model learn new paragraphs through known weights only; every attribution then looks for those weights.

    plants: some of PLANTS. seeds: plantings of each. planted: new paragraphs a planting, non-memorized rows, one a cluster; as
    many more serve as the other paragraphs, which are not planted. retain: other non-memorized rows. fraction: size of the
    scattered plant. levels, learning_rate, max_steps, keep_weight, keep_batch: as in `Recipe`.
    """

    version: ClassVar[int] = 3
    plants: Sequence[str] = PLANTS
    seeds: int = 10
    planted: int = 1
    retain: int = 24
    fraction: float = 0.02
    levels: Sequence[float] = (1.0, 0.4, 0.2)
    learning_rate: float = 2e-3
    max_steps: int = 400
    keep_weight: float = 0.3
    keep_batch: int = 2

    def __post_init__(self) -> None:
        for name in ("seeds", "planted", "retain", "max_steps", "keep_batch"):
            _require(name, getattr(self, name), _is_count(getattr(self, name)), "set a whole number from 1")
        for name in ("fraction", "learning_rate", "keep_weight"):
            _require(name, getattr(self, name), _is_number(getattr(self, name)), "set a number")
        _require("fraction", self.fraction, 0 < self.fraction < 1, "set a share of the weights between 0 and 1, such as 0.02")
        _require("learning_rate", self.learning_rate, self.learning_rate > 0, "set a number above 0, such as 2e-3")
        _require("keep_weight", self.keep_weight, self.keep_weight >= 0, "set 0 or more")
        for name, plural in (
            ("plants", "one or more of " + ", ".join(PLANTS)),
            ("levels", "nats per token, such as [1.0, 0.4, 0.2]"),
        ):
            values = getattr(self, name)
            is_list = isinstance(values, Sequence) and not isinstance(values, str) and 0 < len(set(values)) == len(values)
            _require(name, values, is_list, f"set a list of different values: {plural}")
        _require("plants", self.plants, all(name in PLANTS for name in self.plants), f"choose from {', '.join(PLANTS)}")
        _require("levels", self.levels, all(_is_number(x) and x > 0 for x in self.levels), "every level must be above 0 nats")

    @property
    def recipe(self) -> Recipe:
        levels = tuple(sorted((float(level) for level in self.levels), reverse=True))
        return Recipe(levels, self.learning_rate, self.max_steps, float(self.keep_weight), self.keep_batch)

    def __call__(self, material: Material) -> Finding:
        """Raises UserError where there are too few non-memorized rows to plant some and keep others."""
        plantings = list(self._plant(material))
        levels = self.recipe.levels
        compared = compare(plantings, tuple(self.plants), levels)
        return Finding(
            name="known_answer",
            title="Known answer: does localization find weights that are known to hold a paragraph?",
            sentences=sentences(compared, plantings),
            unit=OVER_SEEDS,
            numbers={"seeds": self.seeds, "planted_rows": self.planted} | numbers_of(compared, plantings),
            tables={"known_answer": _table(plantings)},
            charts=charts(compared, plantings),
            notes=notes(plantings, material.self_generated),
        )

    def _plant(self, material: Material) -> Iterator[Planting]:
        eligible = sum(weight.size for weight in material.weights)
        _require(
            "fraction", self.fraction, round(self.fraction * eligible) > 0, f"that is none of {eligible} weights: set more"
        )
        fresh = self._fresh(material)
        for number in track(range(self.seeds), "planting"):
            generator = number_generator(material.seed, f"known_answer {number}")
            rows = self._rows(material, fresh, generator)
            seed = int(generator.integers(2**31))
            plants = {name: draw_plant(name, material.weights, self.fraction, seed) for name in self.plants}
            _, reference = reference_states(material.model, rows.retain, material.batch_size)
            answers = known_answer(
                material.model,
                material.weights,
                {name: plant.mask.indices for name, plant in plants.items()},
                rows,
                reference,
                self.recipe,
                material.batch_size,
                seed,
            )
            for answer in answers:
                plant = plants[answer.plant]
                yield Planting(number, plant.place, plant.mask.k, eligible, answer)

    def _fresh(self, material: Material) -> Tensor:
        """[N] bool: rows that may be planted: all of their cluster is non-memorized, by set and by EM."""
        fresh = material.non_memorized
        if not material.self_generated:
            fresh = fresh & is_non_memorized(material.scores.em, material.paragraphs.continuation_length)
        fresh = fresh & ~torch.isin(material.clusters, material.clusters[~fresh])
        drawn, clusters = self._drawn(material), len(material.clusters[fresh].unique())
        if clusters <= drawn:
            raise UserError(
                f"analysis known_answer needs {drawn + 1} non-memorized paragraphs that are no near-duplicates of each other "
                f"or of others, but there are {clusters}: give more paragraphs, or lower {OPTION}.planted (now {self.planted})"
            )
        return fresh

    def _rows(self, material: Material, fresh: Tensor, generator: np.random.Generator) -> Rows:
        """The planted and the other paragraphs, one a cluster, and retain rows of yet other clusters."""
        clusters = material.clusters.numpy()
        drawn = thin(fresh.nonzero().flatten().numpy(), clusters, self._drawn(material), generator)
        others = material.non_memorized & ~torch.isin(material.clusters, material.clusters[drawn])
        retain = thin(others.nonzero().flatten().numpy(), clusters, self.retain, generator)
        rows = material.paragraphs.select(torch.from_numpy(drawn))
        new = rows.select(range(2 * self.planted))
        if material.self_generated:
            new = new.with_continuations(rows.continuations[1:])
        planted, other = (new.select(range(start, start + self.planted)) for start in (0, self.planted))
        return Rows(planted, other, material.paragraphs.select(torch.from_numpy(np.sort(retain))))

    def _drawn(self, material: Material) -> int:
        """Rows a planting: what the model said itself is not new to it, so the row before is given each one's continuation."""
        return 2 * self.planted + material.self_generated


def _table(plantings: Sequence[Planting]) -> dict[str, list[Any]]:
    """One row per plant, seed, level (None: the unplanted base model), attribution and paragraph that it looked for.

    paragraph: "planted", "another" (not planted), or "none" (random scores, |w|, and |w - w of the base model|, the ceiling).
    state: the level's `Outcome`.
    """
    rows: list[dict[str, Any]] = []
    for one in plantings:
        answer = one.answer
        looked = {(name, "planted"): answer.found.get(name) for name in ATTRIBUTIONS}
        looked |= {(name, ANOTHER): answer.other.get(name) for name in ATTRIBUTIONS}
        looked |= {(RANDOM, "none"): answer.found.get(RANDOM), (MAGNITUDE, "none"): answer.magnitude}
        if answer.level is not None:
            looked[MOVED, "none"] = answer.moved
        for (attribution, paragraph), found in looked.items():
            rows.append(
                {
                    "plant": answer.plant,
                    "place": one.place,
                    "seed": one.seed,
                    "level": answer.level,
                    "state": answer.outcome,
                    "attribution": attribution,
                    "paragraph": paragraph,
                    "auprc": None if found is None else found.auprc,
                    "recall_at_k": None if found is None else found.recall_at_k,
                    "auprc_by_chance": one.chance("auprc"),
                    "recall_by_chance": one.chance("recall_at_k"),
                    "k": one.k,
                    "eligible": one.eligible,
                    "planted_em": float(answer.em.double().mean()),
                    "planted_em_lowest": int(answer.em.min()),
                    "planted_nll": float(answer.nll.mean()),
                    "retain_nll": answer.retain_nll,
                    "steps": answer.steps,
                }
            )
    return {column: [row[column] for row in rows] for column in rows[0]}


def _require(name: str, value: Any, holds: bool, what_to_do: str) -> None:
    if not holds:
        raise UserError(f"{OPTION}.{name}={value}: {what_to_do}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
