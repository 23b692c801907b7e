"""The config group `mask`: how a run chooses its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.masks.selection import Mask, check_fraction, select_all, select_random, select_random_matched, select_top
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter

Scores = Callable[[], Mapping[str, Tensor]]
"""Computes the attribution when called: per tensor scores of its shape."""


class MaskStrategy(Protocol):
    """Anything that chooses weights: the mask of a run. layers, components, heads: as in `Filter`."""

    @property
    def layers(self) -> Sequence[int] | None: ...
    @property
    def components(self) -> Sequence[str] | None: ...
    @property
    def heads(self) -> Sequence[int] | None: ...

    def select(self, weights: Sequence[WeightTensor], scores: Scores, seed: int) -> Mask:
        """Chooses among `weights`; calls `scores` only if it needs them. Raises UserError for a setting that cannot work."""


@dataclass(frozen=True)
class AllWeights:
    """mask=all: every eligible weight. fraction is without effect: a sweep over masks may set it for the others."""

    fraction: float | None = None
    layers: Sequence[int] | None = None
    components: Sequence[str] | None = None
    heads: Sequence[int] | None = None

    def select(self, weights: Sequence[WeightTensor], scores: Scores, seed: int) -> Mask:
        """See MaskStrategy."""
        return select_all(weights, Filter(self.layers, self.components, self.heads))


@dataclass(frozen=True)
class TopAttribution:
    """mask=gradient: the K weights with the highest attribution.

    fraction: K over the eligible weights. selection: `global`, or `per_tensor` for the same fraction of every tensor.
    """

    fraction: float
    selection: str = "global"
    layers: Sequence[int] | None = None
    components: Sequence[str] | None = None
    heads: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_fraction(self.fraction)
        _is_per_tensor(self.selection)

    def select(self, weights: Sequence[WeightTensor], scores: Scores, seed: int) -> Mask:
        """See MaskStrategy."""
        per_tensor = _is_per_tensor(self.selection)
        filter = Filter(self.layers, self.components, self.heads)
        return select_top(scores(), weights, self.fraction, filter, per_tensor)


@dataclass(frozen=True, kw_only=True)
class RandomWeights:
    """mask=random: K weights drawn with the run's seed: what any choice of as many weights would do.

    match: draw as many in each tensor as mask=gradient with the same settings has there, so that only the choice differs.
    """

    fraction: float
    match: bool = False
    selection: str = "global"
    layers: Sequence[int] | None = None
    components: Sequence[str] | None = None
    heads: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_fraction(self.fraction)
        _is_per_tensor(self.selection)

    def select(self, weights: Sequence[WeightTensor], scores: Scores, seed: int) -> Mask:
        """See MaskStrategy."""
        per_tensor = _is_per_tensor(self.selection)
        filter = Filter(self.layers, self.components, self.heads)
        if self.match:
            gradient = select_top(scores(), weights, self.fraction, filter, per_tensor)
            return select_random_matched(gradient, weights, filter, seed)
        return select_random(weights, self.fraction, filter, seed, per_tensor)


def _is_per_tensor(selection: str) -> bool:
    if selection not in ("global", "per_tensor"):
        raise UserError(f"mask.selection={selection} is not known: use global or per_tensor")
    return selection == "per_tensor"
