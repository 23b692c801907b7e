"""Curvature as tensors by name, and back: what a file holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from memunlearn.curvature.factors import Block, Curvature, EigenBlock, EigenFactors, Factors


def packed(curvature: Curvature) -> dict[str, Tensor]:
    """A tensor that weights share is there once, under the first one's name."""
    tensors = {"read": torch.tensor([curvature.rows, curvature.scored])}
    first: dict[int, int] = {}
    for number, (name, known) in enumerate(curvature.factors.items()):
        owner = first.setdefault(id(known.inputs), number)
        tensors[f"{name}|shape"] = torch.tensor([isinstance(known, EigenFactors), known.output_axis, owner, len(known.blocks)])
        if owner == number:
            tensors[f"inputs|{number}"] = known.inputs
        blocks: tuple[Block | EigenBlock, ...] = known.blocks
        for place, block in enumerate(blocks):
            tensors |= {f"{name}|{place}|{field.name}": getattr(block, field.name) for field in fields(block)}
    return tensors


def unpacked(tensors: Mapping[str, Tensor], device: torch.device) -> Curvature:
    """On this device."""
    rows, scored = tensors["read"].tolist()
    inputs = {name: values.to(device) for name, values in tensors.items() if name.startswith("inputs|")}
    factors: dict[str, Factors | EigenFactors] = {}
    for entry in tensors:
        name, _, what = entry.partition("|")
        if what != "shape":
            continue
        eigen, output_axis, owner, count = tensors[entry].tolist()
        shared = inputs[f"inputs|{owner}"]

        def part(place: int, what: str, name: str = name) -> Tensor:
            return tensors[f"{name}|{place}|{what}"].to(device)

        if eigen:
            eigens = tuple(EigenBlock(part(i, "features"), part(i, "outputs"), part(i, "values")) for i in range(count))
            factors[name] = EigenFactors(shared, eigens, output_axis)
        else:
            blocks = tuple(Block(part(i, "features"), part(i, "gradients")) for i in range(count))
            factors[name] = Factors(shared, blocks, output_axis)
    return Curvature(factors, rows, scored)
