"""Weighted gradient ascent (Wang et al. 2025, arXiv 2502.19301)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.objectives.losses import kl, token_nll
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_positive, check_weights


@dataclass(frozen=True)
class WGA:
    """loss = retain_weight * KL(retain) - forget_weight * p^beta NLL, of the true tokens of the forget rows.

    p: the true token's probability, constant where it is a weight; a mean over tokens, in nats. What is no longer likely is let
    go, the sooner the larger beta is; beta -> 0 is gradient ascent.
    """

    forget_weight: float = 0.5
    retain_weight: float = 1.0
    beta: float = 1.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        check_positive(beta=self.beta)

    def __call__(self, step: StepMaterial) -> Losses:
        tokens = token_nll(step.forget.logits, step.forget.labels)
        weights = (-self.beta * tokens.detach()).exp()
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        return Losses(-self.forget_weight * (weights * tokens).mean(), self.retain_weight * retain_kl, tokens.mean(), retain_kl)
