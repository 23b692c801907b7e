"""The matrix products that a pass cannot do without, by themselves: the rate that a machine has at these very shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.rounds import Way
from benchmarks.speed.sizes import Lengths, Size

BACKWARD = 3
"""Times the products of a forward pass: the gradients of inputs and of weights cost as much again, each."""


@dataclass(frozen=True)
class Product:
    """[m, k] times [k, n], so many times."""

    m: int
    k: int
    n: int
    times: int

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n * self.times


def block_products(size: Size, lengths: Lengths, rows: int) -> list[Product]:
    """Of all blocks' weights with the tokens of some rows: q, k, v, out, MLP in and out. Attention itself is left out."""
    tokens, d = rows * lengths.read, size.hidden
    return [
        Product(tokens, d, d, 4 * size.layers),
        Product(tokens, d, 4 * d, size.layers),
        Product(tokens, 4 * d, d, size.layers),
    ]


def head_products(size: Size, lengths: Lengths, rows: int, times: int = 1) -> list[Product]:
    """Of the output head with the positions that predict the continuations."""
    return [Product(rows * lengths.continuation, size.hidden, size.vocabulary, times)]


def forward_products(size: Size, lengths: Lengths, rows: int) -> list[Product]:
    """Of scoring."""
    return block_products(size, lengths, rows) + head_products(size, lengths, rows)


def step_products(size: Size, lengths: Lengths, rows: int) -> list[Product]:
    """Of a training step with all weights: forward and backward, a frozen head (no gradient of it), and the base model's
    distribution from its kept states, one head product more."""
    blocks = [Product(p.m, p.k, p.n, BACKWARD * p.times) for p in block_products(size, lengths, rows)]
    return blocks + head_products(size, lengths, rows, times=3)


def flops(products: Sequence[Product]) -> int:
    return sum(product.flops for product in products)


def all_products(products: Sequence[Product], device: str, precision: str) -> Way:
    """Multiplies what is already in memory, in the precision of the workload."""
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    generator = torch.Generator().manual_seed(0)
    pairs = [
        (
            torch.randn(product.m, product.k, generator=generator).to(device, dtype),
            # As a linear layer has it: [out, in], transposed when it is used.
            torch.randn(product.n, product.k, generator=generator).to(device, dtype),
            product.times,
        )
        for product in products
    ]

    def multiply() -> None:
        for left, right, times in pairs:
            for _ in range(times):
                left @ right.T

    return multiply
