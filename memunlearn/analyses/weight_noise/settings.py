"""The options of `weight_noise`, and its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from memunlearn.analyses.material import Material
from memunlearn.analyses.options import is_count, is_number, require
from memunlearn.analyses.weight_noise.compare import compare
from memunlearn.analyses.weight_noise.measure import measure
from memunlearn.analyses.weight_noise.tell import tell
from memunlearn.errors import UserError
from memunlearn.localization.weight_attribution import Attribution, Gradient
from memunlearn.models.filters import Filter
from memunlearn.results.finding import Finding


@dataclass(frozen=True, kw_only=True)
class WeightNoise:
    """EM and NLL of memorized and non-memorized paragraphs with Gaussian noise on a fraction of the weights.

    Weights: those with the highest attribution of memorized rows (non-memorized ones as retain); as a control, those of
    non-memorized rows; and random ones (free, or as many in each tensor). For each seed they are chosen anew, for a half of the
    clusters of either group, and the other half is read: weights that suit some rows are no finding about others.

    fraction: of the eligible weights after the filter (layers, components, heads as in `Filter`). scales: standard deviations
    of the noise, in units of the standard deviation of all eligible weights of the model together. seeds: of noise, choices
    and halves; below 5 no difference is claimed. max_memorized, max_non_memorized: rows (None: all).
    """

    version: ClassVar[int] = 2
    attribution: Attribution = Gradient()
    fraction: float = 0.001
    scales: Sequence[float] = (1, 2, 4, 8)
    seeds: int = 5
    max_memorized: int | None = 64
    max_non_memorized: int | None = 64
    layers: Sequence[int] | None = None
    components: Sequence[str] | None = None
    heads: Sequence[int] | None = None

    def __post_init__(self) -> None:
        name, scales = "weight_noise", self.scales
        if not callable(self.attribution):
            raise UserError(
                "analysis.weight_noise.attribution is no attribution: give it a _target_, as in conf/attribution/gradient.yaml"
            )
        is_share = is_number(self.fraction) and 0 < self.fraction <= 1
        what_to_do = " is not a share of the weights: set a number above 0, at most 1"
        require(is_share, f"{name}.fraction", self.fraction, what_to_do)
        is_list = isinstance(scales, Sequence) and not isinstance(scales, str) and len(scales) > 0
        what_to_do = " is not a list: write [1, 2, 4], in standard deviations of the weights"
        require(is_list, f"{name}.scales", scales, what_to_do)
        rise = all(is_number(scale) and scale > 0 for scale in scales) and sorted(set(scales)) == list(scales)
        require(rise, f"{name}.scales", list(scales), ": set numbers above 0 that rise, such as [1, 2, 4]")
        require(is_count(self.seeds), f"{name}.seeds", self.seeds, ": set a whole number from 1")
        for option in ("max_memorized", "max_non_memorized"):
            value = getattr(self, option)
            fits = value is None or is_count(value)
            require(fits, f"{name}.{option}", value, ": set a whole number from 1, or null for all")

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is no memorized row, or no non-memorized one for an attribution that needs it."""
        measured = measure(
            material,
            attribution=self.attribution,
            fraction=self.fraction,
            filter=Filter(self.layers, self.components, self.heads),
            scales=[float(scale) for scale in self.scales],
            seeds=self.seeds,
            max_memorized=self.max_memorized,
            max_non_memorized=self.max_non_memorized,
        )
        return tell(measured, compare(measured, material.seed), self.fraction, material.self_generated)
