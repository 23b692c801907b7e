"""The two contrastive objectives: change the forget set, keep the model's distribution on the retain set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.objectives.by_rows import by_rows, mean_kl, mean_nll
from memunlearn.objectives.losses import bounded, token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_replacements, check_weights


@dataclass(frozen=True)
class Unlearn:
    """loss = retain_weight * KL(retain) - forget_weight * NLL(forget), with each token's NLL counted up to max_token_nll.

    The NLL has no upper bound: tokens that are long forgotten go on pulling, and what they pull apart is everything else.
    max_token_nll: nats, above which a token is let go (3 nats: p = 5 %); None for the unbounded NLL of the paper.
    """

    forget_weight: float = 0.1
    retain_weight: float = 1.0
    max_token_nll: float | None = 3.0
    needs: ClassVar[Needs] = Needs()

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        if self.max_token_nll is not None and not self.max_token_nll > 0:
            raise UserError(
                f"objective.max_token_nll={self.max_token_nll} must be above 0 nats, or null for the paper's unbounded NLL"
            )

    def __call__(self, step: StepMaterial) -> Losses:
        counted, nlls = by_rows(self._forget, step.forget)
        retain_kl = mean_kl(step.retain)
        return Losses(-self.forget_weight * counted.mean(), self.retain_weight * retain_kl, nlls.mean(), retain_kl)

    def _forget(self, side: Side) -> tuple[Tensor, ...]:
        tokens = token_nll(side.logits, side.labels)
        counted = tokens if self.max_token_nll is None else bounded(tokens, self.max_token_nll)
        return counted.mean(1), tokens.mean(1)


@dataclass(frozen=True)
class Edit:
    """loss = retain_weight * KL(retain) + forget_weight * NLL(alternative given the original prefix).

    The forget rows are the original prefix followed by the alternative, as input and as label.
    replacements: perturbations tried at each prefix position when alternatives are looked for.
    """

    forget_weight: float = 0.5
    retain_weight: float = 1.0
    replacements: int = 1
    needs: ClassVar[Needs] = Needs(alternatives=True)

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        check_replacements(self.replacements)

    def __call__(self, step: StepMaterial) -> Losses:
        forget_nll, retain_kl = mean_nll(step.forget), mean_kl(step.retain)
        return Losses(self.forget_weight * forget_nll, self.retain_weight * retain_kl, forget_nll, retain_kl)
