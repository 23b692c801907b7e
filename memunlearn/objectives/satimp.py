"""Gradient ascent weighted by saturation and importance (Yang et al. 2025, arXiv 2505.11953)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_positive, check_weights


@dataclass(frozen=True)
class SatImp:
    """loss = retain_weight * KL(retain) - forget_weight * p^beta1 (1 - p)^beta2 NLL, of the true tokens of the forget rows.

    p: the true token's probability, constant where it is a weight; a mean over tokens, in nats. beta1 (saturation) lets go what
    is no longer likely, beta2 (importance) what the model could not say otherwise.
    """

    forget_weight: float = 40.0
    retain_weight: float = 1.0
    beta1: float = 5.0
    beta2: float = 1.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        check_positive(beta1=self.beta1, beta2=self.beta2)

    def __call__(self, step: StepMaterial) -> Losses:
        terms, nlls = by_rows(self._forget, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(-self.forget_weight * terms.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        tokens = token_nll(side.logits, side.labels)
        known = tokens.detach()
        weights = (-self.beta1 * known).exp() * (-(-known).expm1()) ** self.beta2
        return (weights * tokens).mean(1), tokens.mean(1)
