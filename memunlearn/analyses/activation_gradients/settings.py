"""The options of `activation_gradients`, and its four steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.analyses.activation_gradients.compare import compare
from memunlearn.analyses.activation_gradients.measure import measure
from memunlearn.analyses.activation_gradients.tell import tell
from memunlearn.analyses.material import Material
from memunlearn.analyses.options import require
from memunlearn.results.finding import Finding

PERMUTATIONS_AT_LEAST = 20


@dataclass(frozen=True)
class ActivationGradients:
    """|d NLL / d activation| per layer, component, head and token position (paper, section 4; finding 4).

    Raw, and as shares of a paragraph's total: memorized text has small losses, and so small gradients everywhere.
    replacements: tokens tried at each prefix position to find a memorized paragraph's perturbed twin. max_memorized,
    max_non_memorized: rows at most (None: all), drawn with the seed. permutations: of clusters, for the p-values.
    """

    version: ClassVar[int] = 3
    replacements: int = 1
    max_memorized: int | None = None
    max_non_memorized: int | None = None
    permutations: int = 2000

    def __post_init__(self) -> None:
        enough = self.permutations >= PERMUTATIONS_AT_LEAST
        what_to_do = f": set at least {PERMUTATIONS_AT_LEAST}, or no p-value can be below 0.05"
        require(enough, "activation_gradients.permutations", self.permutations, what_to_do)
        for option in ("replacements", "max_memorized", "max_non_memorized"):
            value = getattr(self, option)
            require(value is None or value >= 1, f"activation_gradients.{option}", value, " must be 1 or more")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there are neither memorized nor non-memorized paragraphs."""
        measured = measure(material, self.replacements, self.max_memorized, self.max_non_memorized)
        return tell(measured, compare(measured, self.permutations, material.seed), material.seed)
