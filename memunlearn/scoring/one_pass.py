"""What one teacher-forced pass over a batch of paragraphs gives, for the metrics to be computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from memunlearn.objectives.losses import token_kl, token_nll


@dataclass(frozen=True, eq=False)
class OnePass:
    """logits: [B, C, V] at the positions that predict the continuation; labels: [B, C], its tokens.

    base_logits: [B, C, V], the base model's; None where there is no base to compare with. What several metrics share is
    computed once, and only if one of them asks for it.
    """

    logits: Tensor
    labels: Tensor
    base_logits: Tensor | None = None

    @cached_property
    def hits(self) -> Tensor:
        """[B, C] bool: the most likely token is the true one, all tokens before it being true."""
        return token_hits(self.logits, self.labels)

    @cached_property
    def token_nll(self) -> Tensor:
        """[B, C] fp32, nats: -log p of each true token."""
        return token_nll(self.logits, self.labels)

    @cached_property
    def token_kl(self) -> Tensor:
        """[B, C] fp32, nats: KL(base distribution, current distribution) at each position. Raises ValueError without a base."""
        if self.base_logits is None:
            raise ValueError("there is no base model to compare with")
        return token_kl(self.base_logits, self.logits)


def token_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """[B, C] bool from logits [B, C, V] and labels [B, C]: the most likely token is the true one."""
    return logits.argmax(-1) == labels
