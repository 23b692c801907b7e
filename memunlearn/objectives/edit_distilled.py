"""Edits by distillation: the base model's distribution, the alternative's tokens raised. Own construction, after UNDIAL (Dong
et al. 2024, arXiv 2402.10052), which lowers the true ones."""

from __future__ import annotations

from dataclasses import dataclass

from memunlearn.objectives.losses import cross_entropy, kl, nll, shifted
from memunlearn.objectives.material import (
    Losses,
    Needs,
    StepMaterial,
    check_not_negative,
    check_positive,
    check_replacements,
    check_weights,
)


@dataclass(frozen=True)
class DistilledEdit:
    """loss = retain_weight * KL(retain) + forget_weight * CE(current, softmax(z_base + strength * onehot(alternative token))).

    z_base: the base model's logits on the forget rows, which are the original prefix followed by the alternative; CE a mean
    over tokens, in nats. Bounded from below: an alternative that is said with that margin pulls no more, and everything else
    is as likely, relative to each other, as under the base model. strength: nats, more than the original token is ahead by.

    original_weight: 0, or how much of the same is added for the memorized paragraphs with their true tokens lowered by strength
    (UNDIAL), also where the edited model would not come across them by itself.
    replacements: perturbations tried at each prefix position when alternatives are looked for.
    """

    forget_weight: float = 0.5
    retain_weight: float = 1.0
    strength: float = 10.0
    original_weight: float = 0.0
    replacements: int = 1

    def __post_init__(self) -> None:
        check_weights(self.forget_weight, self.retain_weight)
        check_positive(strength=self.strength)
        check_not_negative(original_weight=self.original_weight)
        check_replacements(self.replacements)

    @property
    def needs(self) -> Needs:
        if self.original_weight == 0:
            return Needs(alternatives=True, base_logits=("forget",))
        return Needs(alternatives=True, originals=True, base_logits=("forget", "original"))

    def __call__(self, step: StepMaterial) -> Losses:
        edited, original = step.forget, step.original
        term = cross_entropy(edited.logits, shifted(edited.base_logits, edited.labels, self.strength))
        if original is not None:
            lowered = shifted(original.base_logits, original.labels, -self.strength)
            term = term + self.original_weight * cross_entropy(original.logits, lowered)
        retain_kl = kl(step.retain.base_logits, step.retain.logits)
        forget_nll = nll(edited.logits.detach(), edited.labels)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, forget_nll, retain_kl)
