"""The options of `known_answer`, and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from memunlearn.analyses.known_answer.compare import compare
from memunlearn.analyses.known_answer.measure import plant
from memunlearn.analyses.known_answer.relearning.add import add_relearning
from memunlearn.analyses.known_answer.relearning.measure import Relearning, hold, rows_for
from memunlearn.analyses.known_answer.tell import tell
from memunlearn.analyses.material import Material
from memunlearn.analyses.options import is_count, is_number, require
from memunlearn.localization.forgetting import Forgetting
from memunlearn.localization.planting import Recipe
from memunlearn.masks.plants import PLANTS
from memunlearn.results.finding import Finding

RATES = ("learning_rate", "forget_learning_rate", "forget_learning_rate_all", "relearn_learning_rate")


@dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """Copies of the model learn new paragraphs through known weights only; every attribution then looks for those weights.

    plants: some of PLANTS. seeds: plantings of each. planted: new paragraphs a planting, non-memorized rows, one a cluster; as
    many more serve as the other paragraphs, which are not planted. retain: other non-memorized rows. fraction: size of the
    scattered plant. levels, learning_rate, max_steps, keep_weight, keep_batch: as in `Recipe`.

    relearn: go on with plantings of relearn_planted paragraphs (retain, fraction, recipe and seeds are the same): forget them
    through the true weights, those found, random ones and all, then teach half of them again (Lacuna, arXiv 2607.02513).
    forget_em, forget_learning_rate (through all weights: forget_learning_rate_all), forget_max_steps, forget_keep_batch: as in
    `Forgetting`. relearn_steps, relearn_learning_rate: as in `Relearning`.
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
    relearn: bool = False
    relearn_planted: int = 4
    forget_em: float = 3.0
    forget_learning_rate: float = 2e-3
    forget_learning_rate_all: float = 1e-4
    forget_max_steps: int = 100
    forget_keep_batch: int = 4
    relearn_steps: Sequence[int] = (5, 10, 30)
    relearn_learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        for name in ("seeds", "planted", "retain", "max_steps", "keep_batch", "forget_max_steps", "forget_keep_batch"):
            self._require(name, is_count(getattr(self, name)), "set a whole number from 1")
        for name in ("fraction", "keep_weight", "forget_em", *RATES):
            self._require(name, is_number(getattr(self, name)), "set a number")
        self._require("fraction", 0 < self.fraction < 1, "set a share of the weights between 0 and 1, such as 0.02")
        for name in RATES:
            self._require(name, getattr(self, name) > 0, "set a number above 0, such as 2e-3")
        for name in ("keep_weight", "forget_em"):
            self._require(name, getattr(self, name) >= 0, "set 0 or more")
        self._require("relearn", isinstance(self.relearn, bool), "set true or false")
        is_halved = is_count(self.relearn_planted) and self.relearn_planted >= 2
        self._require("relearn_planted", is_halved, "set a whole number from 2: half of them are taught again")
        for name, of_what in (
            ("plants", "one or more of " + ", ".join(PLANTS)),
            ("levels", "nats per token, such as [1.0, 0.4, 0.2]"),
            ("relearn_steps", "steps, such as [5, 10, 30]"),
        ):
            self._require(name, _is_list(getattr(self, name)), f"set a list of different values: {of_what}")
        self._require("plants", all(name in PLANTS for name in self.plants), f"choose from {', '.join(PLANTS)}")
        self._require("levels", all(is_number(x) and x > 0 for x in self.levels), "every level must be above 0 nats")
        self._require("relearn_steps", all(map(is_count, self.relearn_steps)), "every number of steps must be 1 or more")

    def _require(self, name: str, holds: bool, what_to_do: str) -> None:
        require(holds, f"known_answer.{name}", getattr(self, name), f": {what_to_do}")

    @property
    def recipe(self) -> Recipe:
        levels = tuple(sorted((float(level) for level in self.levels), reverse=True))
        return Recipe(levels, self.learning_rate, self.max_steps, float(self.keep_weight), self.keep_batch)

    @property
    def relearning(self) -> Relearning:
        forgetting = Forgetting(float(self.forget_em), self.forget_learning_rate, self.forget_max_steps, self.forget_keep_batch)
        return Relearning(
            self.relearn_planted,
            forgetting,
            replace(forgetting, learning_rate=self.forget_learning_rate_all),
            tuple(sorted(self.relearn_steps)),
            self.relearn_learning_rate,
        )

    def __call__(self, material: Material) -> Finding:
        """Raises UserError where there are too few non-memorized rows to plant some and keep others."""
        if self.relearn:
            rows_for(material, self.relearning)  # before the long work
        common: dict[str, Any] = {
            "kinds": self.plants,
            "seeds": self.seeds,
            "retain": self.retain,
            "fraction": self.fraction,
        }
        plantings = list(plant(material, self.recipe, planted=self.planted, **common))
        compared = compare(plantings, tuple(self.plants), self.recipe.levels)
        finding = tell(compared, plantings, self.seeds, self.planted, material.self_generated)
        if not self.relearn:
            return finding
        lowest = replace(self.recipe, levels=self.recipe.levels[-1:])
        trials = list(hold(material, lowest, self.relearning, **common))
        return add_relearning(finding, trials, tuple(self.plants), self.relearning)


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and 0 < len(set(values)) == len(values)
