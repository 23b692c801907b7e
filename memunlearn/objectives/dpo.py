"""Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290) with alternatives as the preferred answers, as in
AltPO (Mekala et al. 2024, arXiv 2409.13474)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from memunlearn.objectives.losses import kl, nll, token_nll
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_positive, check_replacements, check_weights


@dataclass(frozen=True)
class DPO:
    """loss = retain_weight * KL(retain) - forget_weight * (2 / beta) log sigmoid(beta (r(alternative) - r(original))).

    r(row) = log p(row) - log p_base(row), summed over the continuation's tokens, in nats; a mean over rows. The forget rows are
    the original prefix followed by the alternative, and beside them the memorized paragraphs. Where the alternative has won by
    some 1 / beta nats more than under the base model, the pull fades: it need not be recited then. beta: 0.05 to 0.5.
    replacements: perturbations tried at each prefix position when alternatives are looked for.
    """

    forget_weight: float = 0.01
    retain_weight: float = 1.0
    beta: float = 0.05
    replacements: int = 1
    needs: ClassVar[Needs] = Needs(alternatives=True, originals=True, base_logits=("forget", "original"))

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        check_positive(beta=self.beta)
        check_replacements(self.replacements)

    def __call__(self, step: StepMaterial) -> Losses:
        assert step.original is not None
        preferred = _log_ratio(step.forget) - _log_ratio(step.original)
        term = -2 / self.beta * functional.logsigmoid(self.beta * preferred).mean()
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        forget_nll = nll(step.forget.logits.detach(), step.forget.labels)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, forget_nll, retain_kl)


def _log_ratio(side: Side) -> Tensor:
    """[B]: log p(row) - log p_base(row), in nats."""
    return (token_nll(side.base_logits, side.labels) - token_nll(side.logits, side.labels)).sum(1)
