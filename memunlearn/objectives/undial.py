"""Self-distillation towards the base model with the true token's logit lowered (Dong et al. 2024, arXiv 2402.10052)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.errors import UserError
from memunlearn.objectives.losses import cross_entropy, kl, nll, shifted
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


@dataclass(frozen=True)
class Undial:
    """loss = retain_weight * KL(retain) + forget_weight * CE(current, softmax(z_base - strength * onehot(true token))).

    z_base: the base model's logits on the forget rows; CE a mean over tokens, in nats. Bounded from below, and at its minimum
    everything but the true token is as likely, relative to each other, as under the base model. strength: 3 to 30 nats.
    """

    forget_weight: float = 0.1
    retain_weight: float = 1.0
    strength: float = 10.0
    needs: ClassVar[Needs] = Needs(base_logits=("forget",))

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        if not self.strength > 0:
            raise UserError(f"objective.strength={self.strength} must be above 0 nats")

    def __call__(self, step: StepMaterial) -> Losses:
        logits, labels = step.forget.logits, step.forget.labels
        term = cross_entropy(logits, shifted(step.forget.base_logits, labels, -self.strength))
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, nll(logits.detach(), labels), retain_kl)
