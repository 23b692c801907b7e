"""Gradient ascent (Jang et al. 2023, arXiv 2210.01504): the NLL of the forget rows raised, and nothing kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from memunlearn.errors import UserError
from memunlearn.objectives.by_rows import mean_kl, mean_nll
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


@dataclass(frozen=True)
class GradientAscent:
    """loss = -forget_weight * NLL(forget), a mean over tokens, in nats: no bound, and no retain term.

    Adam's steps have the same length whatever the weight is: with it, optimizer.lr and stopping in time are everything.
    retain_weight: 0; with a retain term the same is `GradDiff` (NLL) or `Unlearn` with max_token_nll=None (KL).
    """

    forget_weight: float = 1.0
    retain_weight: float = 0.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        if self.retain_weight != 0:
            raise UserError(
                f"objective.retain_weight={self.retain_weight} must be 0 for objective=ga, which keeps nothing: "
                "objective=grad_diff has the NLL as its retain term, objective=unlearn_unbounded the KL"
            )

    def __call__(self, step: StepMaterial) -> Losses:
        forget_nll = mean_nll(step.forget)
        with torch.no_grad():
            retain_kl = mean_kl(step.retain)
        return Losses(-self.forget_weight * forget_nll, torch.zeros_like(retain_kl), forget_nll, retain_kl)
