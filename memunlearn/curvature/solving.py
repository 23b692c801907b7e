"""The change of weights that gains most for the KL that it is predicted to cost: damped curvature, inverted, times a gradient.

Each solver works on one weight, takes and gives values of its delta's shape, and lies on the factors' device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from memunlearn.curvature.damping import Damped, DampedEigenFactors
from memunlearn.curvature.factors import blockwise
from memunlearn.errors import UserError


class Solver(Protocol):
    def __call__(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """(F + damping)^-1 gradient, and 1/2 D' F D of that change: a scalar, nats a scored token."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Inverses:
    """All of a weight, K-FAC: (G + damping)^-1 g (A + damping)^-1.

    inputs, blocks: the inverses [in, in] and, by features [o], [o, o]; damped: what was added, and where the features lie.
    """

    inputs: Tensor
    blocks: tuple[Tensor, ...]
    features: tuple[Tensor, ...]
    input_damping: Tensor
    block_damping: tuple[Tensor, ...]
    output_axis: int

    def __call__(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        matrix = gradient.T if self.output_axis == 1 else gradient
        change, kl = torch.empty_like(matrix), torch.zeros((), device=gradient.device)
        inputs = self.inputs.to(matrix.dtype)
        for block, features, added in zip(self.blocks, self.features, self.block_damping, strict=True):
            part = matrix[features]
            left = block.to(part.dtype) @ part  # the change times A + damping
            right = part @ inputs  # G + damping times the change
            step = left @ inputs
            change[features] = step
            # tr(D' G D A), without damping, of what is at hand: G = (G + damping) - damping, and A likewise.
            undamped = (step * part).sum() - added * (step * left).sum() - self.input_damping * (step * right).sum()
            kl += (undamped + added * self.input_damping * step.square().sum()) / 2
        return (change.T if self.output_axis == 1 else change), kl.clamp_min(0.0)


def inverse(factor: Tensor, added: Tensor) -> Tensor:
    """(factor + added)^-1 of a symmetric [n, n] that has no eigenvalue below 0; in fp32."""
    damped = factor.float().clone()
    damped.diagonal().add_(added)
    return torch.cholesky_inverse(torch.linalg.cholesky(damped))


@dataclass(frozen=True, eq=False)
class Division:
    """All of a weight, EK-FAC: divided by eigenvalue + damping in the eigenbasis."""

    damped: DampedEigenFactors

    def __call__(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        factors, damping = self.damped.factors, self.damped.block_damping
        kl = torch.zeros((), device=gradient.device)

        def of_block(number: int, part: Tensor) -> Tensor:
            block = factors.blocks[number]
            rotated = (block.outputs.T @ part @ factors.inputs) / (block.values + damping[number])
            kl.add_((block.values * rotated.square()).sum() / 2)
            return block.outputs @ rotated @ factors.inputs.T

        return blockwise(factors, gradient, of_block), kl


def whole_solvers(
    damped: dict[str, Damped], dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> dict[str, Solver]:
    """By the weight's name. damped: is emptied meanwhile, so that factors that nobody else holds make room for their inverses.

    dtype: in which inverses are kept. device: where; None for where the factors are. Raises UserError where damping is too
    little for a factor to be inverted.
    """
    solvers: dict[str, Solver] = {}
    # Numbers, since to hold a factor that weights share would be to keep it, and the id of what is gone can come again.
    numbers: dict[int, int] = {}
    shared = {name: numbers.setdefault(id(known.factors.inputs), len(numbers)) for name, known in damped.items()}
    inputs: dict[int, Tensor] = {}
    for name, number in shared.items():
        known = damped.pop(name)
        if isinstance(known, DampedEigenFactors):
            solvers[name] = Division(known)
            continue
        factors = known.factors
        place = device or factors.inputs.device
        if number not in inputs:
            inputs[number] = _inverse_of(name, factors.inputs, known.input_damping).to(place, dtype)
        solvers[name] = Inverses(
            inputs=inputs[number],
            blocks=tuple(
                _inverse_of(name, block.gradients, added).to(place, dtype)
                for block, added in zip(factors.blocks, known.block_damping, strict=True)
            ),
            features=tuple(block.features.to(place) for block in factors.blocks),
            input_damping=known.input_damping.to(place),
            block_damping=tuple(added.to(place) for added in known.block_damping),
            output_axis=factors.output_axis,
        )
    return solvers


def _inverse_of(name: str, factor: Tensor, added: Tensor) -> Tensor:
    try:
        return inverse(factor, added)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise UserError(
            f"the curvature of {name} cannot be inverted: the largest of its values are so far above the others that these, "
            "with damping, drown in rounding: raise optimizer.damping (of attribution=kfac attribution.damping) ten times"
        ) from error


@dataclass(frozen=True, eq=False)
class Projection:
    """Some of a weight, cheaply: of the change of all of it the chosen ones are kept.

    indices: [K] flat positions. shape: the weight's.
    """

    damped: Damped
    whole: Solver
    indices: Tensor
    shape: tuple[int, int]

    def __call__(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        change = self.whole(scattered(gradient, self.indices, self.shape))[0].flatten()[self.indices]
        return change, cost(self.damped, change, self.indices, self.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class ConjugateGradients:
    """Some of a weight: F + damping, restricted to the chosen ones, solved by conjugate gradients.

    indices, shape: as in Projection. iterations: at most; a solution is left as it is once its residual is below `tolerance`
    times the gradient's norm. diagonal: of the restricted F + damping, [K]; the preconditioner.
    """

    damped: Damped
    indices: Tensor
    shape: tuple[int, int]
    diagonal: Tensor
    iterations: int
    tolerance: float

    @staticmethod
    def of(
        damped: Damped, indices: Tensor, shape: tuple[int, int], iterations: int = 50, tolerance: float = 1e-3
    ) -> ConjugateGradients:
        diagonal = damped.diagonal().flatten()[indices]
        return ConjugateGradients(
            damped=damped,
            indices=indices,
            shape=shape,
            diagonal=diagonal,
            iterations=iterations,
            tolerance=tolerance,
        )

    def __call__(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        # No number is looked at, so that nothing waits for the device: what has converged moves no more.
        change, residual = torch.zeros_like(gradient), gradient
        direction = scaled = residual / self.diagonal
        enough, product = self.tolerance * gradient.norm(), (residual * scaled).sum()
        for _ in range(self.iterations):
            going = (residual.norm() > enough).to(gradient.dtype)
            times = self.damped.times(scattered(direction, self.indices, self.shape)).flatten()[self.indices]
            length = going * _ratio(product, (direction * times).sum())
            change, residual = change + length * direction, residual - length * times
            scaled = residual / self.diagonal
            before, product = product, (residual * scaled).sum()
            direction = scaled + _ratio(product, before) * direction
        return change, cost(self.damped, change, self.indices, self.shape)


def cost(damped: Damped, change: Tensor, indices: Tensor, shape: tuple[int, int]) -> Tensor:
    """1/2 D' F D, without damping, of a change [K] of the chosen weights."""
    spread = scattered(change, indices, shape)
    return ((spread * damped.factors.times(spread)).sum() / 2).clamp_min(0.0)


def scattered(values: Tensor, indices: Tensor, shape: tuple[int, int]) -> Tensor:
    """The weight's shape, zero but for the values [K] at these flat positions."""
    return torch.zeros(shape, device=values.device, dtype=values.dtype).flatten().index_copy(0, indices, values).view(shape)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """above / below, and 0 where nothing is left to divide by."""
    return torch.where(below > 0, above / below, torch.zeros_like(above))
