"""The options of `activation_patching`, and its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.analyses.activation_patching.compare import compare
from memunlearn.analyses.activation_patching.measure import measure
from memunlearn.analyses.activation_patching.tell import tell
from memunlearn.analyses.material import Material
from memunlearn.analyses.options import require
from memunlearn.results.finding import Finding


@dataclass(frozen=True)
class ActivationPatching:
    """Patches activations of a memorized paragraph's perturbed twin into it, and the reverse (paper, section 4; finding 6).

    replacements: tokens tried at each prefix position to find the twin. max_memorized: rows at most (None: all), drawn with the
    seed. per_head: every head of q, k, v, out on its own (as many times more passes). min_difference: nats by which the twin
    must raise the NLL of the impact token; rows below it are left out, and counted.
    """

    version: ClassVar[int] = 3
    replacements: int = 1
    max_memorized: int | None = None
    per_head: bool = False
    min_difference: float = 0.5

    def __post_init__(self) -> None:
        for option, value in (("replacements", self.replacements), ("max_memorized", self.max_memorized)):
            require(value is None or value >= 1, f"activation_patching.{option}", value, " must be 1 or more")
        what_to_do = " must be above 0: effects are divided by it"
        require(self.min_difference > 0, "activation_patching.min_difference", self.min_difference, what_to_do)

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is no memorized paragraph, or none whose twin does enough damage."""
        measured = measure(material, self.replacements, self.max_memorized, self.per_head, self.min_difference)
        return tell(measured, compare(measured, material.seed), self.per_head, self.min_difference)
