"""Representation misdirection for unlearning (Li et al. 2024, arXiv 2403.03218)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from memunlearn.errors import UserError
from memunlearn.objectives.by_rows import mean_kl, mean_nll
from memunlearn.objectives.losses import precise
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


@dataclass(frozen=True)
class RMU:
    """loss = retain_weight * mean |h - h_base|^2 / D (retain) + forget_weight * mean |h - steering u|^2 / D (forget).

    h, h_base: hidden states [D] after block `layer` (from 0; None: the middle one) of the current and the base model, at the
    positions that predict the continuation; means over tokens. u: a fixed unit vector, its entries drawn uniformly from [0, 1)
    with `seed` before they are normalized. steering: c in the paper, 2 to 20; a hidden state's own length says what is far.
    Weights after the layer are not trained. The training curve shows the KL, which is in no term.
    """

    forget_weight: float = 1.0
    retain_weight: float = 10.0
    layer: int | None = None
    steering: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        if not self.steering > 0:
            raise UserError(f"objective.steering={self.steering} must be above 0")
        if self.layer is not None and not (type(self.layer) is int and self.layer >= 0):
            raise UserError(f"objective.layer={self.layer} must be the number of a block, from 0, or null for the middle one")

    @property
    def needs(self) -> Needs:
        return Needs(layer="middle" if self.layer is None else self.layer, base_hidden=("retain",))

    def __call__(self, step: StepMaterial) -> Losses:
        hidden, kept = precise(step.forget.hidden), precise(step.retain.hidden)
        target = self.steering * _direction(hidden.shape[-1], self.seed, hidden.device).to(hidden.dtype)
        forget, retain = (hidden - target).square().mean(), (kept - precise(step.retain.base_hidden)).square().mean()
        with torch.no_grad():
            shown = mean_nll(step.forget), mean_kl(step.retain)
        return Losses(self.forget_weight * forget, self.retain_weight * retain, *shown)


@cache
def _direction(size: int, seed: int, device: torch.device) -> Tensor:
    """u: [D] fp32, kept on the device."""
    entries = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(entries, dim=0).to(device)
