"""Edits by distillation: the base model's distribution, the alternative's tokens raised. Own construction, after UNDIAL (Dong
et al. 2024, arXiv 2402.10052), which lowers the true ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from memunlearn.objectives.by_rows import by_rows, mean_kl
from memunlearn.objectives.losses import shifted, token_cross_entropy, token_nll
from memunlearn.objectives.material import (
    Losses,
    Needs,
    Side,
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
        terms, nlls = by_rows(partial(_towards, strength=self.strength), step.forget)
        term = terms.mean()
        if step.original is not None:
            lowered, _ = by_rows(partial(_towards, strength=-self.strength), step.original)
            term = term + self.original_weight * lowered.mean()
        retain_kl = mean_kl(step.retain)
        return Losses(self.forget_weight * term, self.retain_weight * retain_kl, nlls.mean(), retain_kl)


def _towards(side: Side, strength: float) -> tuple[Tensor, ...]:
    """CE(current, softmax(z_base + strength * onehot(token))) and NLL of each row, means over its tokens: [B] each."""
    wanted = shifted(side.base_logits, side.labels, strength)
    return token_cross_entropy(side.logits, wanted).mean(1), token_nll(side.logits.detach(), side.labels).mean(1)
