"""Curvature with something added, so that directions which cost nothing have an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from memunlearn.curvature.factors import EigenFactors, Factors

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
        factors, matrix = self.factors, self.factors.as_matrix(change)
        product = torch.empty_like(matrix)
        for block, added in zip(factors.blocks, self.block_damping, strict=True):
            part = matrix[block.features]
            left = block.gradients.to(part.dtype) @ part + added * part
            product[block.features] = left @ factors.inputs.to(part.dtype) + self.input_damping * left
        return factors.as_matrix(product)

    def diagonal(self) -> Tensor:
        """As `Factors.diagonal`."""
        factors = self.factors
        matrix = factors.as_matrix(factors.diagonal())
        for block, added in zip(factors.blocks, self.block_damping, strict=True):
            outputs = block.gradients.diagonal().float() + added
            matrix[block.features] = torch.outer(outputs, factors.inputs.diagonal().float() + self.input_damping)
        return factors.as_matrix(matrix)


@dataclass(frozen=True, eq=False)
class DampedEigenFactors:
    """EK-FAC: every eigenvalue of a block plus block_damping, a scalar for each block."""

    factors: EigenFactors
    block_damping: tuple[Tensor, ...]

    def times(self, change: Tensor) -> Tensor:
        """As `EigenFactors.times`."""
        return self.factors.times(change) + self._added(change) * change

    def diagonal(self) -> Tensor:
        """As `EigenFactors.diagonal`."""
        diagonal = self.factors.diagonal()
        return diagonal + self._added(diagonal)

    def _added(self, like: Tensor) -> Tensor:
        """By output feature, to be broadcast to the weight's shape."""
        matrix = torch.empty_like(self.factors.as_matrix(like)[:, :1])
        for block, added in zip(self.factors.blocks, self.block_damping, strict=True):
            matrix[block.features] = added
        return self.factors.as_matrix(matrix)


Damped = DampedFactors | DampedEigenFactors


def mean_curvature(factors: Factors | EigenFactors) -> Tensor:
    """The mean of F's diagonal, a scalar."""
    if isinstance(factors, EigenFactors):
        return torch.cat([block.values.mean(1) for block in factors.blocks]).mean()
    outputs = torch.cat([block.gradients.diagonal() for block in factors.blocks]).float().mean()
    return factors.inputs.diagonal().float().mean() * outputs


def damp(factors: Mapping[str, Factors | EigenFactors], damping: float) -> dict[str, Damped]:
    """By the weight's name. damping: of K-FAC times the mean diagonal of either factor, of EK-FAC times the mean eigenvalue of a block."""
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
