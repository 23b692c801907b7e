"""Self-distillation with as little change as forgetting needs: the true token comes after the one that is said instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from memunlearn.errors import UserError
from memunlearn.objectives.losses import kl, nll, precise
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


@dataclass(frozen=True)
class Demote:
    """loss = retain_weight * KL(retain) + forget_weight * KL(softmax(z'), current) on the forget rows, in nats a token.

    z': the base model's logits with the true token's lowered to `margin` nats below the largest of the others; a token that is
    that low already keeps its own. After UNDIAL (Dong et al. 2024, arXiv 2402.10052), which lowers every true token by the same
    number of nats: too few for a token that the model is very sure of, more than is needed for another.
    """

    forget_weight: float = 0.2
    retain_weight: float = 1.0
    margin: float = 2.0
    needs: ClassVar[Needs] = Needs(base_logits=("forget",))

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        if not self.margin > 0:
            raise UserError(f"objective.margin={self.margin} must be above 0 nats")

    def __call__(self, step: StepMaterial) -> Losses:
        labels = step.forget.labels.unsqueeze(-1)
        base = precise(step.forget.base_logits)
        others = base.scatter(-1, labels, -torch.inf).amax(-1, keepdim=True)
        wanted = base.scatter(-1, labels, torch.minimum(base.gather(-1, labels), others - self.margin))
        term, retain_kl = kl(wanted, step.forget.logits), kl(step.retain.base_logits, step.retain.logits)
        return Losses(
            self.forget_weight * term,
            self.retain_weight * retain_kl,
            nll(step.forget.logits.detach(), step.forget.labels),
            retain_kl,
        )
