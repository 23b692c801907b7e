"""Entropy maximization: the loss of EMSO (Zhang et al. 2024, arXiv 2408.04983); choosing weights is a mask's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import token_entropy, token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_weights


@dataclass(frozen=True)
class Entropy:
    """loss = retain_weight * KL(retain) - forget_weight * H(forget), H = -sum_v p(v) log p(v); a mean over tokens, in nats.

    Bounded: at most log V. Whatever the forget rows' true tokens are, every token of the vocabulary is to be as likely.
    """

    forget_weight: float = 0.1
    retain_weight: float = 1.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)

    def __call__(self, step: StepMaterial) -> Losses:
        entropies, nlls = by_rows(self._forget, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(-self.forget_weight * entropies.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        return token_entropy(side.logits).mean(1), token_nll(side.logits.detach(), side.labels).mean(1)
