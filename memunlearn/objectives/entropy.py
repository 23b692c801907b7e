"""Entropy maximization: the loss of EMSO (Zhang et al. 2024, arXiv 2408.04983); choosing weights is a mask's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.objectives.losses import entropy, kl, nll
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


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
        logits, labels = step.forget.logits, step.forget.labels
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        forget_nll = nll(logits.detach(), labels)
        return Losses(-self.forget_weight * entropy(logits), self.retain_weight * retain_kl, forget_nll, retain_kl)
