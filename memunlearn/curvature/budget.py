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

    factors: of the measured weights, fp32. measured: all that is there while they are measured, for EK-FAC their eigenvectors
    and the eigenvalues, too. largest: two copies of the largest one, while it is inverted. kept: what is solved
    with; elsewhere: on another device than the model's. model: every parameter. training: change, gradient and momentum of
    what is trained, and the largest changed weight. staying: factors that are kept with the model beside what is solved with.
    """

    weights: int
    factors: int
    measured: int
    largest: int
    kept: int
    model: int
    training: int
    staying: int
    elsewhere: bool

    @property
    def peak(self) -> int:
        """At most on the model's device, while the curvature is measured and inverted or while training; activations come on
        top."""
        solved_with = self.staying + (0 if self.elsewhere else self.kept)
        measuring = self.model + max(self.measured, solved_with) + self.largest
        return max(measuring, self.model + self.training + solved_with)

    def __str__(self) -> str:
        where = " elsewhere" if self.elsewhere else ""
        return (
            f"curvature of {self.weights} weight matrices: {_gb(self.factors)} of factors, {_gb(self.kept)} kept{where} while "
            f"training; with the model at most {_gb(self.peak)}, and activations"
        )


def budget_of(
    model: nn.Module,
    weights: Sequence[WeightTensor],
    *,
    share: float = 1.0,
    eigenvalues: bool = False,
    projection: bool = False,
    dtype: torch.dtype = torch.float32,
    elsewhere: bool = False,
    again: bool = False,
    own_inputs: bool = False,
    all_weights: Sequence[WeightTensor] | None = None,
) -> Budget:
    """weights: those that are measured. share: how much of them is trained; below 1 the masked system is solved, through the
    factors themselves, or with `projection` through inverses, too. eigenvalues: EK-FAC, fp32 always. again: factors
    are kept, to be inverted more than once. own_inputs: what is solved with has A of its own, not that of the kept factors.
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
    apart = elsewhere or not (eigenvalues or (share < 1 and dtype == torch.float32 and not projection))
    staying = FP32 * (factors + eigenvalues * values) if apart else FP32 * own_inputs * sum(inputs.values())
    return Budget(
        weights=len(weights),
        factors=FP32 * factors,
        measured=FP32 * (2 * factors + values if eigenvalues else factors),
        largest=2 * FP32 * largest,
        kept=kept,
        model=sum(parameter.numel() * parameter.element_size() for parameter in base_parameters(model).values()),
        training=FP32 * (3 * trained + max((weight.size for weight in weights), default=0)),
        staying=staying if again else 0,
        elsewhere=elsewhere,
    )


def memory_of(device: torch.device) -> int:
    """Bytes that the device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_budget(budget: Budget, memory: int, device: torch.device) -> None:
    """Raises UserError if it cannot fit, whatever the activations take."""
    if budget.peak > memory:
        raise UserError(
            f"optimizer=kfac needs {_gb(budget.peak)} on {device}, which has {_gb(memory)}: set optimizer.dtype=bfloat16 (half "
            f"of what is kept while training, {_gb(budget.kept)}; for all weights with optimizer.damping=.1 or more) "
            "or optimizer.device=cpu (all of it), choose fewer weights with mask.components=[...] or mask.layers=[...], or "
            "do without curvature: experiment=contrastive"
        )


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"
