"""Simple negative preference optimization (Fan et al. 2024, arXiv 2410.07163): NPO without a base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch.nn import functional

from memunlearn.objectives.by_rows import by_rows, mean_kl, row_nll
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
        (nlls,) = by_rows(row_nll, step.forget)
        term = 2 / self.beta * functional.softplus(self.beta * (self.margin - nlls)).mean()
        retain_kl = mean_kl(step.retain)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, nlls.mean(), retain_kl)
