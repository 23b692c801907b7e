"""Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290) with alternatives as the preferred answers, as in
AltPO (Mekala et al. 2024, arXiv 2409.13474)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import token_nll
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
        alternative, nlls = by_rows(_log_ratio, step.forget)
        original, _ = by_rows(_log_ratio, step.original)
        term = -2 / self.beta * functional.logsigmoid(self.beta * (alternative - original)).mean()
        retain_kl = mean_kl(step.retain)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, nlls.mean(), retain_kl)


def _log_ratio(side: Side) -> tuple[Tensor, ...]:
    """log p(row) - log p_base(row), in nats, and the row's NLL: [B] each."""
    base, now = (token_nll(logits, side.labels) for logits in (side.base_logits, side.logits))
    return (base - now).sum(1), now.mean(1)
