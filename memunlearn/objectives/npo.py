"""Negative preference optimization (Zhang et al. 2024, arXiv 2404.05868)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch.nn import functional

from memunlearn.errors import UserError
from memunlearn.objectives.losses import kl, token_nll
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


@dataclass(frozen=True)
class NPO:
    """loss = retain_weight * KL(retain) + forget_weight * (2 / beta) softplus(beta (log p(row) - log p_base(row))).

    log p(row): summed over the continuation's tokens, in nats; a mean over rows. Where the row is less likely than under the
    base model by some 1 / beta nats, its pull fades. beta: 0.05 to 0.5; beta -> 0 is gradient ascent.
    """

    forget_weight: float = 0.005
    retain_weight: float = 1.0
    beta: float = 0.1
    needs: ClassVar[Needs] = Needs(base_logits=("forget",))

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        if not self.beta > 0:
            raise UserError(f"objective.beta={self.beta} must be above 0")

    def __call__(self, step: StepMaterial) -> Losses:
        now, base = (token_nll(logits, step.forget.labels) for logits in (step.forget.logits, step.forget.base_logits))
        log_ratio = (base - now).sum(1)
        term = 2 / self.beta * functional.softplus(self.beta * log_ratio).mean()
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, now.mean(), retain_kl)
