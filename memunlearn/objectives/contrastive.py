"""The two contrastive objectives: change the forget set, keep the model's distribution on the retain set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.objectives.losses import bounded, kl, nll, token_nll


@dataclass(frozen=True)
class Losses:
    """Scalars of one batch. forget_term, retain_term: means over the batch's rows, weighted, whose sum is minimised; forget_nll
    and retain_kl: before weighting, nats per token."""

    forget_term: Tensor
    retain_term: Tensor
    forget_nll: Tensor
    retain_kl: Tensor

    @property
    def total(self) -> Tensor:
        return self.forget_term + self.retain_term


class Objective(Protocol):
    """forget_logits [F, C, V], forget_labels [F, C], retain_logits and retain_reference [R, C, V] -> Losses."""

    needs_alternatives: ClassVar[bool]

    def __call__(
        self, forget_logits: Tensor, forget_labels: Tensor, retain_logits: Tensor, retain_reference: Tensor
    ) -> Losses: ...


def _check_weights(forget_weight: float, retain_weight: float) -> None:
    if not (forget_weight > 0 and retain_weight >= 0):
        raise UserError(
            f"objective.forget_weight={forget_weight} and objective.retain_weight={retain_weight}: "
            "the first must be above 0, the second 0 or more"
        )


@dataclass(frozen=True)
class Unlearn:
    """loss = retain_weight * KL(retain) - forget_weight * NLL(forget), with each token's NLL counted up to max_token_nll.

    The NLL has no upper bound: tokens that are long forgotten go on pulling, and what they pull apart is everything else.
    max_token_nll: nats, above which a token is let go (3 nats: p = 5 %); None for the unbounded NLL of the paper.
    """

    forget_weight: float = 0.1
    retain_weight: float = 1.0
    max_token_nll: float | None = 3.0
    needs_alternatives: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_weights(self.forget_weight, self.retain_weight)
        if self.max_token_nll is not None and not self.max_token_nll > 0:
            raise UserError(
                f"objective.max_token_nll={self.max_token_nll} must be above 0 nats, or null for the paper's unbounded NLL"
            )

    def __call__(self, forget_logits: Tensor, forget_labels: Tensor, retain_logits: Tensor, retain_reference: Tensor) -> Losses:
        tokens, retain_kl = token_nll(forget_logits, forget_labels), kl(retain_reference, retain_logits)
        counted = tokens if self.max_token_nll is None else bounded(tokens, self.max_token_nll)
        return Losses(-self.forget_weight * counted.mean(), self.retain_weight * retain_kl, tokens.mean(), retain_kl)


@dataclass(frozen=True)
class Edit:
    """loss = retain_weight * KL(retain) + forget_weight * NLL(alternative given the original prefix).

    The forget rows are the original prefix followed by the alternative, as input and as label (paper.md, fault 3).
    replacements: perturbations tried at each prefix position when alternatives are looked for.
    """

    forget_weight: float = 0.5
    retain_weight: float = 1.0
    replacements: int = 1
    needs_alternatives: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_weights(self.forget_weight, self.retain_weight)
        if self.replacements < 1:
            raise UserError(f"objective.replacements={self.replacements} must be 1 or more")

    def __call__(self, forget_logits: Tensor, forget_labels: Tensor, retain_logits: Tensor, retain_reference: Tensor) -> Losses:
        forget_nll, retain_kl = nll(forget_logits, forget_labels), kl(retain_reference, retain_logits)
        return Losses(self.forget_weight * forget_nll, self.retain_weight * retain_kl, forget_nll, retain_kl)
