"""Negative preference optimization (Zhang et al. 2024, arXiv 2404.05868)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from memunlearn.errors import UserError
from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_weights


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
        terms, nlls = by_rows(self._forget, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(self.forget_weight * terms.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        now, base = (token_nll(logits, side.labels) for logits in (side.logits, side.base_logits))
        return 2 / self.beta * functional.softplus(self.beta * (base - now).sum(1)), now.mean(1)
