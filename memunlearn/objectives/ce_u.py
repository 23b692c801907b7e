"""Cross-entropy unlearning (Yang 2025, arXiv 2503.01224): the model's own distribution without the true token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.objectives.losses import cross_entropy, kl, nll, without_labels
from memunlearn.objectives.material import Losses, Needs, StepMaterial, check_weights


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
        logits, labels = step.forget.logits, step.forget.labels
        term = cross_entropy(logits, without_labels(logits.detach(), labels))
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, nll(logits.detach(), labels), retain_kl)
