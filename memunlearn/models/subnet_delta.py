"""Which weights of a matrix to set to 0, learnt through scores: a subnetwork (Ramanujan et al., 2020, arXiv 1911.13299)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memunlearn.models.components import output_axis
from memunlearn.models.sparse_delta import MakeDelta


class SubnetDelta(nn.Module):
    """effective = base * m, m = 0 for the `dropped` weights with the lowest |score|, else 1.

    scores: fp32 Parameter of the base's shape, drawn as a linear layer's weights are. The gradient goes straight through m:
    d loss / d |score| is taken to be d loss / d m = base * d loss / d effective. Equal scores go by their place.
    """

    def __init__(self, base: Tensor, *, dropped: int, inputs: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        drawn = torch.empty(base.shape).uniform_(-bound, bound, generator=generator)
        self.scores = nn.Parameter(drawn.to(base.device))
        self.dropped = dropped

    def forward(self, base: Tensor) -> Tensor:
        """base: [rows, columns]; returns the effective weight of the same shape."""
        kept = torch.ones_like(base).flatten().index_fill(0, self._lowest(self.scores), 0.0).view_as(base)
        strength = self.scores.abs()
        return base * (kept + (strength - strength.detach()))

    def trained(self) -> dict[str, nn.Parameter]:
        """What there is to train."""
        return {".scores": self.scores}

    def change(self, base: Tensor, trained: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Flat positions (int64, sorted) of the dropped weights, and minus those weights."""
        lowest = self._lowest(trained[".scores"]).sort().values
        return lowest, -base.detach().flatten()[lowest]

    def make_no_change(self) -> None:
        """Raises NotImplementedError: a subnetwork always lacks something."""
        raise NotImplementedError("a subnetwork always lacks something: take it away with detach(model)")

    def _lowest(self, scores: Tensor) -> Tensor:
        return scores.detach().abs().flatten().argsort(stable=True)[: self.dropped]


def dropped_of(share: float, size: int) -> int:
    """How many weights of a matrix of this size go."""
    return int(share * size)


def subnet(share: float, seed: int) -> MakeDelta:
    """Makes the deltas of one model: of each matrix the share goes, rounded down to whole weights; scores are drawn with the
    seed. Only whole matrices can have one."""
    generator = torch.Generator().manual_seed(seed)

    def make(module: nn.Module, base: Tensor, indices: Tensor | None) -> SubnetDelta:
        assert indices is None, "a subnetwork is chosen in whole matrices"
        inputs = base.shape[1 - output_axis(module)]
        return SubnetDelta(base, dropped=dropped_of(share, base.numel()), inputs=inputs, generator=generator)

    return make
