"""The options of `parameter_gradients`, and its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.material import Material
from memunlearn.analyses.options import is_count, is_number, require
from memunlearn.analyses.parameter_gradients.compare import compare
from memunlearn.analyses.parameter_gradients.measure import measure
from memunlearn.analyses.parameter_gradients.tell import tell
from memunlearn.results.finding import Finding


@dataclass(frozen=True)
class ParameterGradients:
    """Per-paragraph gradients, pooled per layer x component (x head), raw and as shares of the paragraph's sum over all cells.

    Memorized text has small losses and therefore small gradients everywhere: only shares tell *where* they lie. top_share: a
    cell's number is the mean of this share of its magnitudes, the largest. max_per_bin: paragraphs of each EM bin (None: all).
    permutations: of cluster labels.
    """

    version: ClassVar[int] = 1
    top_share: float = 0.1
    max_per_bin: int | None = 100
    permutations: int = 2000

    def __post_init__(self) -> None:
        name, top_share, most = "parameter_gradients", self.top_share, self.max_per_bin
        is_share = is_number(top_share) and 0 < top_share <= 1
        require(is_share, f"{name}.top_share", top_share, " is not a share: set a number above 0, at most 1, such as 0.1")
        fits = most is None or is_count(most)
        require(fits, f"{name}.max_per_bin", most, ": set a number of paragraphs from 1, or null for all")
        what_to_do = f": set at least 20, or no p-value can be below {SIGNIFICANT}"
        require(is_count(self.permutations, 20), f"{name}.permutations", self.permutations, what_to_do)

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there are no paragraphs, or none has a gradient."""
        measured = measure(material, self.top_share, self.max_per_bin)
        compared = compare(measured, self.permutations, material.seed)
        return tell(measured, compared, self.top_share, material.seed, material.self_generated)
