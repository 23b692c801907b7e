"""Gradient difference (Liu et al. 2022, arXiv 2203.12817; as in Maini et al. 2024, arXiv 2401.06121)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.objectives.by_rows import by_rows, mean_nll, row_nll_and_kl
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


@dataclass(frozen=True)
class GradDiff:
    """loss = retain_weight * NLL(retain) - forget_weight * NLL(forget), both means over tokens, in nats.

    Neither has a bound on its side: stop in time. With the KL as its retain term the same is `Unlearn` with max_token_nll=None
    (objective=unlearn_unbounded). The training curve shows the KL, which is in no term.
    """

    forget_weight: float = 0.1
    retain_weight: float = 1.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)

    def __call__(self, step: StepMaterial) -> Losses:
        forget_nll = mean_nll(step.forget)
        nlls, kls = by_rows(row_nll_and_kl, step.retain)
        return Losses(-self.forget_weight * forget_nll, self.retain_weight * nlls.mean(), forget_nll, kls.mean())
