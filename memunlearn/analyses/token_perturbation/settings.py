"""The options of `token_perturbation`, and its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.analyses.material import Material
from memunlearn.analyses.options import require
from memunlearn.analyses.token_perturbation.compare import compare
from memunlearn.analyses.token_perturbation.measure import measure
from memunlearn.analyses.token_perturbation.tell import tell
from memunlearn.errors import UserError
from memunlearn.results.finding import Finding


@dataclass(frozen=True, kw_only=True)
class TokenPerturbation:
    """The drop in EM (non-memorized rows: in self-EM) and the rise in NLL for every prefix position.

    replacements: random tokens a position. second_likely: also the model's second choice there. max_memorized,
    max_non_memorized: rows of each set at most, drawn with the seed; None: all. within_rows: how many of each set, drawn with
    the seed, serve for the correlation within positions, where rows are compared with each other. permutations: how often
    the frequencies are shuffled over token types.
    """

    version: ClassVar[int] = 3
    replacements: int = 1
    second_likely: bool = True
    max_memorized: int | None = None
    max_non_memorized: int | None = 200
    within_rows: int = 200
    permutations: int = 300

    def __post_init__(self) -> None:
        name = "token_perturbation"
        require(self.replacements >= 0, f"{name}.replacements", self.replacements, " must be 0 or more")
        if not self.replacements and not self.second_likely:
            raise UserError(
                "analysis.token_perturbation has nothing to replace a token by: set analysis.token_perturbation.replacements "
                "to 1 or more, or analysis.token_perturbation.second_likely=true"
            )
        require(self.within_rows >= 0, f"{name}.within_rows", self.within_rows, " must be 0 or more")
        require(self.permutations >= 1, f"{name}.permutations", self.permutations, " must be 1 or more")
        for option in ("max_memorized", "max_non_memorized"):
            value = getattr(self, option)
            require(value is None or value >= 0, f"{name}.{option}", value, " must be 0 or more, or null for all")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is neither a memorized nor a non-memorized row."""
        perturbed = measure(
            material,
            replacements=self.replacements,
            second_likely=self.second_likely,
            max_memorized=self.max_memorized,
            max_non_memorized=self.max_non_memorized,
            within_rows=self.within_rows,
        )
        compared = compare(perturbed, self.permutations, material.seed, material.model.device)
        return tell(perturbed, compared, material, self.permutations, self.second_likely)
