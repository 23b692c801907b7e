"""What an optimizer is made of: the deltas by name, and all that the run knows."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import torch
from torch.optim import Optimizer
from transformers import PreTrainedModel

from memunlearn.curvature.measure import MeasureCurvature, measure_curvature
from memunlearn.models.components import WeightTensor
from memunlearn.models.sparse_delta import write_deltas, zero_deltas
from memunlearn.objectives.material import Objective
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.unlearning.preparation import Preparation


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a run knows when its optimizer is made.

    model: with the deltas attached, which change nothing while the optimizer is made: it is the base model then.
    weights: what each eligible weight is (layer, component, heads), by the name that its delta has; none where that was not
    said. preparation: every set, with the base model's scores and states, in the run's precision. objective: what is minimised.
    forget: the rows that the objective's forget term reads; None for all that there are. batch_size: of them a batch. seed: of
    training. measure_curvature: the function of this name, or the same with a memory.
    """

    model: PreTrainedModel
    weights: Sequence[WeightTensor]
    preparation: Preparation
    objective: Objective
    batch_size: int
    seed: int
    measure_curvature: MeasureCurvature = measure_curvature
    forget: ParagraphSet | None = None


FUSED_ON = ("cuda",)
"""Devices on which PyTorch's optimizers do a step in one kernel; on the CPU they could too, with other rounding than before."""

Deltas = Mapping[str, torch.nn.Parameter]
"""By the weight's name: [K_tensor], or of the weight's shape where all of it is trained."""


class OptimizerOfRun(Protocol):
    """An optimizer of one's own: any callable whose parameters are called `deltas` and `context`."""

    def __call__(self, *, deltas: Deltas, context: RunContext) -> Optimizer: ...


TorchOptimizer = Callable[[Iterable[torch.nn.Parameter]], Optimizer]
"""PyTorch's way: it is given nothing but what is to be trained."""

MakeOptimizer = OptimizerOfRun | TorchOptimizer


def make_optimizer(make: MakeOptimizer, deltas: Deltas, context: RunContext) -> Optimizer:
    if takes_context(make):
        with _as_base(context.model, deltas):
            return cast(OptimizerOfRun, make)(deltas=deltas, context=context)
    settings = {"fused": True} if _fused(make, deltas) else {}
    return cast(Callable[..., Optimizer], make)(deltas.values(), **settings)


def _fused(make: MakeOptimizer, deltas: Deltas) -> bool:
    """Whether a step is to be one kernel for all deltas: where PyTorch has it, and nothing else is asked for."""
    made, given = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    if {"fused", "foreach", "differentiable"} & given.keys() or "fused" not in inspect.signature(made).parameters:
        return False
    return all(delta.device.type in FUSED_ON for delta in deltas.values())


@contextlib.contextmanager
def _as_base(model: PreTrainedModel, deltas: Deltas) -> Iterator[None]:
    """The deltas change nothing meanwhile: those of a run that goes on are there before its optimizer is."""
    kept = {name: delta.detach().clone() for name, delta in deltas.items()}
    zero_deltas(model)
    try:
        yield
    finally:
        write_deltas(model, kept)


def check_optimizer(make: MakeOptimizer) -> None:
    """Makes one of PyTorch's for nothing, so that settings that it refuses do not cost a run. Raises what it raises."""
    if not takes_context(make):
        cast(TorchOptimizer, make)([torch.nn.Parameter(torch.zeros(1))])


def takes_context(make: MakeOptimizer) -> bool:
    """Whether this is an `OptimizerOfRun`."""
    made = make.func if isinstance(make, partial) else make  # settings that it lacks are its own to complain of
    return {"deltas", "context"} <= set(inspect.signature(made).parameters)
