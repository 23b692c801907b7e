"""The options of `known_answer`, and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from memunlearn.analyses.known_answer.compare import compare
from memunlearn.analyses.known_answer.measure import plant
from memunlearn.analyses.known_answer.tell import tell
from memunlearn.analyses.material import Material
from memunlearn.analyses.options import is_count, is_number, require
from memunlearn.localization.planting import Recipe
from memunlearn.masks.plants import PLANTS
from memunlearn.results.finding import Finding


@dataclass(frozen=True, kw_only=True)
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
            self._require(name, is_count(getattr(self, name)), "set a whole number from 1")
        for name in ("fraction", "learning_rate", "keep_weight"):
            self._require(name, is_number(getattr(self, name)), "set a number")
        self._require("fraction", 0 < self.fraction < 1, "set a share of the weights between 0 and 1, such as 0.02")
        self._require("learning_rate", self.learning_rate > 0, "set a number above 0, such as 2e-3")
        self._require("keep_weight", self.keep_weight >= 0, "set 0 or more")
        for name, of_what in (
            ("plants", "one or more of " + ", ".join(PLANTS)),
            ("levels", "nats per token, such as [1.0, 0.4, 0.2]"),
        ):
            self._require(name, _is_list(getattr(self, name)), f"set a list of different values: {of_what}")
        self._require("plants", all(name in PLANTS for name in self.plants), f"choose from {', '.join(PLANTS)}")
        self._require("levels", all(is_number(x) and x > 0 for x in self.levels), "every level must be above 0 nats")

    def _require(self, name: str, holds: bool, what_to_do: str) -> None:
        require(holds, f"known_answer.{name}", getattr(self, name), f": {what_to_do}")

    @property
    def recipe(self) -> Recipe:
        levels = tuple(sorted((float(level) for level in self.levels), reverse=True))
        return Recipe(levels, self.learning_rate, self.max_steps, float(self.keep_weight), self.keep_batch)

    def __call__(self, material: Material) -> Finding:
        """Raises UserError where there are too few non-memorized rows to plant some and keep others."""
        plantings = list(
            plant(
                material,
                self.recipe,
                kinds=self.plants,
                seeds=self.seeds,
                planted=self.planted,
                retain=self.retain,
                fraction=self.fraction,
            )
        )
        compared = compare(plantings, tuple(self.plants), self.recipe.levels)
        return tell(compared, plantings, self.seeds, self.planted, material.self_generated)


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and 0 < len(set(values)) == len(values)
