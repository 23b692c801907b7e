"""Cross-entropy unlearning (Yang 2025, arXiv 2503.01224): the model's own distribution without the true token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import token_cross_entropy, token_nll, without_labels
from memunlearn.objectives.material import Losses, Needs, Side, StepMaterial, check_weights


@dataclass(frozen=True)
class CEU:
    """loss = retain_weight * KL(retain) + forget_weight * CE(current, softmax(z with the true token's at -inf)).

    z: the current model's logits on the forget rows, constant in the target; CE a mean over tokens, in nats. Its gradient is
    that of -log(1 - p(true token)): the value differs from `Unlikelihood`'s, the steps do not.
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
        known = side.logits.detach()
        wanted = without_labels(known, side.labels)
        return token_cross_entropy(side.logits, wanted).mean(1), token_nll(known, side.labels).mean(1)
