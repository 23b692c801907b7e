"""Self-distillation towards the base model with the true token's logit lowered (Dong et al. 2024, arXiv 2402.10052)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import shifted, token_cross_entropy, token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_weights


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
        terms, nlls = by_rows(self._forget, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(self.forget_weight * terms.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        wanted = shifted(side.base_logits, side.labels, -self.strength)
        return token_cross_entropy(side.logits, wanted).mean(1), token_nll(side.logits.detach(), side.labels).mean(1)
