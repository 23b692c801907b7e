"""Primal-dual unlearning (Entesari et al. 2025, arXiv 2506.05314): forgetting under a constraint on the retain NLL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from memunlearn.objectives.by_rows import by_rows
from memunlearn.objectives.losses import precise, token_kl, token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_not_negative, check_positive, check_weights


@dataclass
class PDU:
    """loss = forget_weight * (max_v z - mean_v z)^2 + multiplier * (NLL(retain) - (1 + tolerance) NLL_base(retain)).

    z: logits on the forget rows. Means over tokens, of nats squared and of nats; the base model's NLL is that of the same rows.
    After each batch the multiplier, never below 0, grows by dual_step times what stands in the second bracket: it rises while
    the constraint is violated and falls while it holds. It begins as retain_weight, and is kept in checkpoints.
    tolerance: share of the base model's NLL by which the NLL may exceed it (alpha in the paper).
    The training curve shows the KL, which is in no term.
    """

    forget_weight: float = 0.0003
    retain_weight: float = 1.0
    tolerance: float = 0.01
    dual_step: float = 1.0
    needs: ClassVar[Needs] = Needs()
    multiplier: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        check_not_negative(tolerance=self.tolerance)
        check_positive(dual_step=self.dual_step)
        self.multiplier = torch.tensor(float(self.retain_weight))

    def __call__(self, step: StepMaterial) -> Losses:
        margins, nlls = by_rows(self._forget, step.forget)
        now, base, kls = by_rows(self._retain, step.retain)
        excess = now.mean() - (1 + self.tolerance) * base.mean()
        self.multiplier = self.multiplier.to(excess.device)
        terms = self.forget_weight * margins.mean(), self.multiplier * excess
        self.multiplier = (self.multiplier + self.dual_step * excess.detach()).clamp_min(0.0)
        return Losses(*terms, nlls.mean(), kls.mean())

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        logits = precise(side.logits)
        margins = logits.amax(-1) - logits.mean(-1)
        return margins.square().mean(1), token_nll(logits.detach(), side.labels).mean(1)

    def _retain(self, side: Side) -> tuple[Tensor, ...]:
        now, base = (token_nll(logits, side.labels).mean(1) for logits in (side.logits, side.base_logits))
        return now, base, token_kl(side.base_logits, side.logits.detach()).mean(1)

    def state_dict(self) -> dict[str, Any]:
        return {"multiplier": self.multiplier.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.multiplier = state["multiplier"]
