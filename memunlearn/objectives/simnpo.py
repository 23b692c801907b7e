"""Simple negative preference optimization (Fan et al. 2024, arXiv 2410.07163): NPO without a base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch.nn import functional

from memunlearn.objectives.losses import kl, token_nll
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_not_negative, check_positive, check_weights


@dataclass(frozen=True)
class SimNPO:
    """loss = retain_weight * KL(retain) + forget_weight * (2 / beta) softplus(beta (log p(row) / C + margin)).

    log p(row) / C: a mean over the continuation's tokens, in nats, where NPO takes the sum; a mean over rows. Where a row's NLL
    is more than margin + some 1 / beta nats per token, its pull fades. beta: 2.5 to 4.5; margin: 0 to 1 nats; the paper's
    gamma is beta times it.
    """

    forget_weight: float = 0.1
    retain_weight: float = 1.0
    beta: float = 2.5
    margin: float = 1.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        check_positive(beta=self.beta)
        check_not_negative(margin=self.margin)

    def __call__(self, step: StepMaterial) -> Losses:
        rows = token_nll(step.forget.logits, step.forget.labels).mean(1)
        term = 2 / self.beta * functional.softplus(self.beta * (self.margin - rows)).mean()
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, rows.mean(), retain_kl)
