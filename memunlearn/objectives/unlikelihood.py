"""Unlikelihood training (Welleck et al. 2019, arXiv 1908.04319) on the forget rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import precise, token_nll, without_labels
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_weights


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
        terms, nlls = by_rows(self._forget, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(self.forget_weight * terms.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        logits, labels = precise(side.logits), side.labels
        # log(1 - p) as the share of the other tokens, finite where p rounds to 1.
        terms = logits.logsumexp(-1) - without_labels(logits, labels).logsumexp(-1)
        return terms.mean(1), token_nll(logits.detach(), labels).mean(1)
