"""How much memory curvature takes, from the shapes of the weights alone: a model on the meta device will do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from memunlearn.curvature.measure import output_blocks
from memunlearn.errors import UserError
from memunlearn.models.components import WeightTensor, output_axis
from memunlearn.models.sparse_delta import base_parameters, owner_of

FP32 = 4


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bytes, of `weights` weights.

    factors: while they are measured, fp32. largest: two copies of the largest one, while it is inverted. kept: what is solved
    with while training. model: every parameter. training: change, gradient and momentum of what is trained, and the largest
    changed weight.
    """

    weights: int
    factors: int
    largest: int
    kept: int
    model: int
    training: int

    @property
    def measuring(self) -> int:
        """At most while the curvature is measured and inverted; activations come on top."""
        return self.model + max(self.factors, self.kept) + self.largest

    @property
    def stepping(self) -> int:
        """At most while training; activations come on top."""
        return self.model + self.training + self.kept

    def __str__(self) -> str:
        return (
            f"curvature of {self.weights} weights: {_gb(self.factors)} of factors, {_gb(self.kept)} kept while training; with "
            f"the model at most {_gb(max(self.measuring, self.stepping))}, and activations"
        )


def budget_of(
    model: nn.Module,
    weights: Sequence[WeightTensor],
    *,
    share: float = 1.0,
    eigenvalues: bool = False,
    projection: bool = False,
    dtype: torch.dtype = torch.float32,
    all_weights: Sequence[WeightTensor] | None = None,
) -> Budget:
    """weights: those that are measured. share: how much of them is trained; below 1 the masked system is solved, through the
    factors themselves, or with `projection` through inverses, too. eigenvalues: EK-FAC, fp32 always.
    """
    inputs: dict[tuple[int, str, int], int] = {}
    outputs, values, largest = 0, 0, 0
    for weight in weights:
        axis = output_axis(owner_of(model, weight.name)[0])
        width = weight.shape[1 - axis]
        # What reads the same input: q, k and v of a layer, or gate and up.
        reader = "qkv" if set(weight.kind_names) <= {"q", "k", "v"} else "+".join(weight.kind_names)
        inputs[weight.layer, reader, width] = width**2
        sizes = [len(features) for features in output_blocks(weight, all_weights or weights)]
        outputs += sum(size**2 for size in sizes)
        values += weight.size
        largest = max(largest, width**2, *(size**2 for size in sizes))
    factors = sum(inputs.values()) + outputs
    trained = round(share * values)
    if eigenvalues:
        kept = FP32 * (factors + values)
    elif share < 1:
        kept = factors * (dtype.itemsize + projection * dtype.itemsize)
    else:
        kept = factors * dtype.itemsize
    return Budget(
        weights=len(weights),
        factors=FP32 * factors,
        largest=2 * FP32 * largest,
        kept=kept,
        model=sum(parameter.numel() * parameter.element_size() for parameter in base_parameters(model).values()),
        training=FP32 * (3 * trained + max((weight.size for weight in weights), default=0)),
    )


def memory_of(device: torch.device) -> int:
    """Bytes that the device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_budget(budget: Budget, memory: int, device: torch.device) -> None:
    """Raises UserError if it cannot fit, whatever the activations take."""
    needed = max(budget.measuring, budget.stepping)
    if needed > memory:
        raise UserError(
            f"optimizer=kfac needs {_gb(needed)} on {device}, which has {_gb(memory)}: set optimizer.dtype=bfloat16 (half of "
            f"what is kept while training, {_gb(budget.kept)}) or optimizer.device=cpu (all of it), or choose fewer weights "
            "with mask.components=[...] or mask.layers=[...]"
        )


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"
