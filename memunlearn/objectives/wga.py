"""Weighted gradient ascent (Wang et al. 2025, arXiv 2502.19301)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_positive, check_weights


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
        terms, nlls = by_rows(self._forget, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(-self.forget_weight * terms.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        tokens = token_nll(side.logits, side.labels)
        weights = (-self.beta * tokens.detach()).exp()
        return (weights * tokens).mean(1), tokens.mean(1)
