"""Self-distillation that asks for as much as the model's own certainty makes necessary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import precise, token_kl, token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_weights


@dataclass(frozen=True)
class Demote:
    """loss = retain_weight * KL(retain) + forget_weight * KL(softmax(z_base - s onehot(y)), current) on the forget rows.

    In nats a token. s, a number for each row: max(0, median over its tokens of z_base,y - max of the other logits) + margin, so
    that the median token comes `margin` nats after what would be said instead. After UNDIAL (Dong et al. 2024, arXiv
    2402.10052), where s is the same for every model and row: too little for a model that is surer, and more than is needed, at
    the cost of other text, for one that is less sure.
    """

    forget_weight: float = 0.2
    retain_weight: float = 1.0
    margin: float = 2.5
    needs: ClassVar[Needs] = Needs(base_logits=("forget",))

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        if not self.margin > 0:
            raise UserError(f"objective.margin={self.margin} must be above 0 nats")

    def __call__(self, step: StepMaterial) -> Losses:
        terms, nlls = by_rows(self.forget_rows, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(self.forget_weight * terms.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def forget_rows(self, side: Side) -> tuple[Tensor, ...]:
        labels = side.labels.unsqueeze(-1)
        base = precise(side.base_logits)
        true = base.gather(-1, labels)
        lead = true - base.scatter(-1, labels, -torch.inf).amax(-1, keepdim=True)
        strength = lead.median(1, keepdim=True).values.clamp_min(0.0) + self.margin
        wanted = base.scatter(-1, labels, true - strength)
        return token_kl(wanted, side.logits).mean(1), token_nll(side.logits.detach(), side.labels).mean(1)
