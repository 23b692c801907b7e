"""The options of `attention_heads`, and its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.analyses.attention_heads.compare import compare
from memunlearn.analyses.attention_heads.measure import measure
from memunlearn.analyses.attention_heads.tell import tell
from memunlearn.analyses.material import Material
from memunlearn.analyses.options import require
from memunlearn.results.finding import Finding


@dataclass(frozen=True)
class AttentionHeads:
    """Kendall correlation of attention with corpus frequency for every head, attention by rank, entropy, head correlation.

    max_memorized, max_non_memorized, max_neither: rows of each set, and of those in neither, at most, drawn with the seed;
    None: all. within_rows: how many of each set, drawn with the seed, serve for the correlation within positions, where rows
    are compared with each other. permutations: how often the frequencies are shuffled over token types.
    """

    version: ClassVar[int] = 3
    max_memorized: int | None = None
    max_non_memorized: int | None = 2000
    max_neither: int | None = 2000
    within_rows: int = 200
    permutations: int = 300

    def __post_init__(self) -> None:
        for option in ("max_memorized", "max_non_memorized", "max_neither", "within_rows"):
            value = getattr(self, option)
            require(value is None or value >= 0, f"attention_heads.{option}", value, " must be 0 or more")
        require(self.permutations >= 1, "attention_heads.permutations", self.permutations, " must be 1 or more")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is no row, or the model does not give its attention weights."""
        measured = measure(
            material,
            at_most=(self.max_memorized, self.max_non_memorized, self.max_neither),
            within_rows=self.within_rows,
            permutations=self.permutations,
        )
        compared = compare(measured, self.permutations, material.seed)
        return tell(measured, compared, material, self.max_neither, self.within_rows)
