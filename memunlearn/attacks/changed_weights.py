"""A copy of a model with its block weights changed: what quantization and pruning have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memunlearn.models.components import WeightTensor, output_axis
from memunlearn.models.sparse_delta import base_parameters, owner_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Change = Callable[[Tensor], Tensor]
"""[outputs, inputs] -> the same shape: a weight matrix, one row an output feature, and what stands in its place."""


@torch.no_grad()
def with_changed_weights(model: PreTrainedModel, weights: Sequence[WeightTensor], change: Change) -> PreTrainedModel:
    """A copy of a plain model; the model itself keeps every bit, and so does in the copy what is not among the weights."""
    changed = copy.deepcopy(model)
    parameters = base_parameters(changed)
    for weight in weights:
        parameter = parameters[weight.name]
        by_output = output_axis(owner_of(changed, weight.name)[0]) == 0
        parameter.copy_(change(parameter) if by_output else change(parameter.T).T)
    return changed
