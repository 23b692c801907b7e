"""What a change of weights costs on text that must stay, to second order, as Kronecker factors.

Around the base model, where the gradient of the KL is 0, a change D of one weight matrix [out, in] raises the KL a scored token
by about 1/2 vec(D)' F vec(D). K-FAC (Martens & Grosse 2015, arXiv 1503.05671) takes F = G (x) A: A the mean outer product of
the matrix's inputs, G that of the gradients of its outputs, with labels drawn from the model. EK-FAC (George et al. 2018, arXiv
1806.03884) keeps the eigenvectors of A and G and measures the eigenvalues of F in their basis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Block:
    """Output features that share one factor: all of a matrix, or q, k or v of a fused one, or gate or up of a fused one.

    features: [o] int64, positions along the output features. gradients: G [o, o].
    """

    features: Tensor
    gradients: Tensor


@dataclass(frozen=True, eq=False)
class Factors:
    """K-FAC of one weight. inputs: A [in, in]; weights that read the same input share one tensor. blocks: each output feature
    is in one of them. output_axis: 0, or 1 where the weight is stored [in, out] (Conv1D)."""

    inputs: Tensor
    blocks: tuple[Block, ...]
    output_axis: int

    def as_matrix(self, values: Tensor) -> Tensor:
        """A view [out, in] of values of the weight's shape; and the way back."""
        return values.T if self.output_axis == 1 else values

    def times(self, change: Tensor) -> Tensor:
        """F vec(D) = G D A, block by block; D and the product have the weight's shape."""

        def of_block(number: int, part: Tensor) -> Tensor:
            return self.blocks[number].gradients.to(part.dtype) @ part @ self.inputs.to(part.dtype)

        return blockwise(self, change, of_block)

    def diagonal(self) -> Tensor:
        """Of F, of the weight's shape."""
        inputs = self.inputs.diagonal().float()
        outputs = [block.gradients.diagonal().float() for block in self.blocks]
        return blockwise(self, room_for(self), lambda number, _: torch.outer(outputs[number], inputs))


@dataclass(frozen=True, eq=False)
class EigenBlock:
    """features: as in Block. outputs: the eigenvectors of G in columns, [o, o]. values: the eigenvalues of F [o, in]."""

    features: Tensor
    outputs: Tensor
    values: Tensor


@dataclass(frozen=True, eq=False)
class EigenFactors:
    """EK-FAC of one weight. inputs: the eigenvectors of A in columns, [in, in]. blocks, output_axis: as in Factors."""

    inputs: Tensor
    blocks: tuple[EigenBlock, ...]
    output_axis: int

    def as_matrix(self, values: Tensor) -> Tensor:
        """A view [out, in] of values of the weight's shape; and the way back."""
        return values.T if self.output_axis == 1 else values

    def times(self, change: Tensor) -> Tensor:
        """F vec(D), block by block; D and the product have the weight's shape."""

        def of_block(number: int, part: Tensor) -> Tensor:
            block = self.blocks[number]
            return block.outputs @ (block.values * (block.outputs.T @ part @ self.inputs)) @ self.inputs.T

        return blockwise(self, change, of_block)

    def diagonal(self) -> Tensor:
        """Of F, of the weight's shape."""
        inputs = self.inputs.square().T
        outputs = [block.outputs.square() @ block.values for block in self.blocks]
        return blockwise(self, room_for(self), lambda number, _: outputs[number] @ inputs)


def blockwise(factors: Factors | EigenFactors, values: Tensor, of_block: Callable[[int, Tensor], Tensor]) -> Tensor:
    """What `of_block` gives for each block, by number, and its part [o, in] of the values; both have the weight's shape."""
    matrix = factors.as_matrix(values)
    found = torch.empty_like(matrix)
    blocks: tuple[Block | EigenBlock, ...] = factors.blocks
    for number, block in enumerate(blocks):
        found[block.features] = of_block(number, matrix[block.features])
    return factors.as_matrix(found)


def room_for(factors: Factors | EigenFactors) -> Tensor:
    """fp32 of the weight's shape, to be filled."""
    outputs = sum(len(block.features) for block in factors.blocks)
    return factors.as_matrix(torch.empty(outputs, len(factors.inputs), device=factors.inputs.device))


def in_eigenbasis(factors: Mapping[str, Factors | EigenFactors]) -> dict[str, EigenFactors]:
    """The same F, in its eigenbasis: its eigenvalues are the products of those of G and of A.

    Tensors that weights share stay shared, and what is in its eigenbasis already stays as it is.
    """
    known_inputs: dict[int, tuple[Tensor, Tensor]] = {}
    found: dict[str, EigenFactors] = {}
    for name, known in factors.items():
        if isinstance(known, EigenFactors):
            found[name] = known
            continue
        if id(known.inputs) not in known_inputs:
            known_inputs[id(known.inputs)] = _eigen(known.inputs)
        input_values, inputs = known_inputs[id(known.inputs)]
        blocks = []
        for block in known.blocks:
            values, outputs = _eigen(block.gradients)
            blocks.append(EigenBlock(block.features, outputs, torch.outer(values, input_values)))
        found[name] = EigenFactors(inputs, tuple(blocks), known.output_axis)
    return found


def _eigen(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [n] and eigenvectors in columns."""
    # Rounding can leave the smallest below 0, where a mean of squares has none.
    values, vectors = torch.linalg.eigh(factor)
    return values.clamp_min(0.0), vectors


@dataclass(frozen=True, eq=False)
class Curvature:
    """factors: by the weight's name. rows: paragraphs that were read. scored: positions of each whose KL is meant."""

    factors: Mapping[str, Factors | EigenFactors]
    rows: int
    scored: int

    def predicted_kl(self, changes: Mapping[str, Tensor]) -> Tensor:
        """1/2 sum over weights of vec(D)' F vec(D), a scalar: nats a scored token; weights are taken as independent.

        changes: D by the weight's name, of its shape.
        """
        return torch.stack([(change * self.factors[name].times(change)).sum() / 2 for name, change in changes.items()]).sum()


def moved(
    factors: dict[str, Factors | EigenFactors], device: torch.device | None, dtype: torch.dtype = torch.float32
) -> dict[str, Factors | EigenFactors]:
    """The same on a device (None: where they are), K-FAC's in this type; tensors that weights share stay shared.

    factors: is emptied meanwhile, so that what nobody else holds makes room.
    """
    # Numbers, since the id of what is gone can come again.
    numbers: dict[int, int] = {}
    shared = {name: numbers.setdefault(id(known.inputs), len(numbers)) for name, known in factors.items()}
    inputs: dict[int, Tensor] = {}

    def move(values: Tensor, kept: torch.dtype) -> Tensor:
        return values.to(device or values.device, kept)

    found: dict[str, Factors | EigenFactors] = {}
    for name, number in shared.items():
        known = factors.pop(name)
        if number not in inputs:
            inputs[number] = move(known.inputs, dtype if isinstance(known, Factors) else torch.float32)
        if isinstance(known, Factors):
            blocks = tuple(Block(move(b.features, torch.int64), move(b.gradients, dtype)) for b in known.blocks)
            found[name] = Factors(inputs[number], blocks, known.output_axis)
        else:
            parts = [
                (move(b.features, torch.int64), move(b.outputs, torch.float32), move(b.values, torch.float32))
                for b in known.blocks
            ]
            eigen = tuple(EigenBlock(*part) for part in parts)
            found[name] = EigenFactors(inputs[number], eigen, known.output_axis)
    return found
