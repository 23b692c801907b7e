"""Unlikelihood training (Welleck et al. 2019, arXiv 1908.04319) on the forget rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.objectives.losses import kl, nll, precise, without_labels
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


@dataclass(frozen=True)
class Unlikelihood:
    """loss = retain_weight * KL(retain) - forget_weight * log(1 - p(true token)); the latter a mean over tokens, in nats.

    The pull on a token is its probability: what is no longer likely is let go.
    """

    forget_weight: float = 0.1
    retain_weight: float = 1.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)

    def __call__(self, step: StepMaterial) -> Losses:
        logits, labels = precise(step.forget.logits), step.forget.labels
        # log(1 - p) as the share of the other tokens, finite where p rounds to 1.
        term = (logits.logsumexp(-1) - without_labels(logits, labels).logsumexp(-1)).mean()
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, nll(logits.detach(), labels), retain_kl)
