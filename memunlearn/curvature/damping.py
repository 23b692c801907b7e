"""Curvature with something added, so that directions which cost nothing have an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from memunlearn.curvature.factors import EigenFactors, Factors, blockwise, room_for

LEAST = 1e-12
"""Of the largest mean curvature of any weight: what is added at least, so that a weight without curvature can be solved for."""


@dataclass(frozen=True, eq=False)
class DampedFactors:
    """K-FAC: (G + block_damping) (x) (A + input_damping), a number for each block. The numbers: scalars."""

    factors: Factors
    input_damping: Tensor
    block_damping: tuple[Tensor, ...]

    def times(self, change: Tensor) -> Tensor:
        """As `Factors.times`."""

        def of_block(number: int, part: Tensor) -> Tensor:
            left = self.factors.blocks[number].gradients.to(part.dtype) @ part + self.block_damping[number] * part
            return left @ self.factors.inputs.to(part.dtype) + self.input_damping * left

        return blockwise(self.factors, change, of_block)

    def diagonal(self) -> Tensor:
        """As `Factors.diagonal`."""
        inputs = self.factors.inputs.diagonal().float() + self.input_damping

        def of_block(number: int, _: Tensor) -> Tensor:
            outputs = self.factors.blocks[number].gradients.diagonal().float()
            return torch.outer(outputs + self.block_damping[number], inputs)

        return blockwise(self.factors, room_for(self.factors), of_block)


@dataclass(frozen=True, eq=False)
class DampedEigenFactors:
    """EK-FAC: every eigenvalue of a block plus block_damping, a scalar for each block."""

    factors: EigenFactors
    block_damping: tuple[Tensor, ...]

    def times(self, change: Tensor) -> Tensor:
        """As `EigenFactors.times`."""
        return self.factors.times(change) + self._added() * change

    def diagonal(self) -> Tensor:
        """As `EigenFactors.diagonal`."""
        return self.factors.diagonal() + self._added()

    def _added(self) -> Tensor:
        """What each weight's diagonal has more, of the weight's shape."""
        return blockwise(self.factors, room_for(self.factors), lambda number, part: self.block_damping[number].expand_as(part))


Damped = DampedFactors | DampedEigenFactors


def mean_curvature(factors: Factors | EigenFactors) -> Tensor:
    """The mean of F's diagonal, a scalar."""
    if isinstance(factors, EigenFactors):
        return torch.cat([block.values.mean(1) for block in factors.blocks]).mean()
    outputs = torch.cat([block.gradients.diagonal() for block in factors.blocks]).float().mean()
    return factors.inputs.diagonal().float().mean() * outputs


def damp(factors: Mapping[str, Factors | EigenFactors], damping: float) -> dict[str, Damped]:
    """By the weight's name. damping: of K-FAC times the mean diagonal of either factor, of EK-FAC times a block's mean
    eigenvalue."""
    if not factors:
        return {}
    means = torch.stack([mean_curvature(known) for known in factors.values()])
    least = (LEAST * means.max()).clamp_min(torch.finfo(torch.float32).tiny)
    damped: dict[str, Damped] = {}
    for name, known in factors.items():
        if isinstance(known, EigenFactors):
            added = (torch.maximum(damping * block.values.mean(), least) for block in known.blocks)
            damped[name] = DampedEigenFactors(known, tuple(added))
        else:
            diagonals = [known.inputs.diagonal(), *(block.gradients.diagonal() for block in known.blocks)]
            inputs, *blocks = (torch.maximum(damping * values.float().mean(), least.sqrt()) for values in diagonals)
            damped[name] = DampedFactors(known, inputs, tuple(blocks))
    return damped
