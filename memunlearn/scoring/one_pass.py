"""What one teacher-forced pass over a batch of paragraphs gives, for the metrics to be computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from memunlearn.objectives.losses import log_probabilities, precise, token_kl_of
from memunlearn.scoring.agreement import RANKS, token_ndcg
from memunlearn.scoring.likelihood import standardized
from memunlearn.scoring.most_likely import most_likely
from memunlearn.scoring.sampling import Sampling, token_log_q


@dataclass(frozen=True, eq=False)
class OnePass:
    """logits: [B, C, V] at the positions that predict the continuation; labels: [B, C], its tokens.

    base_logits: [B, C, V], the base model's; None where there is no base to compare with. sampling: how p_z is measured; None
    where nobody asks for it. What several metrics share is computed once, and only if one of them asks for it.
    """

    logits: Tensor
    labels: Tensor
    base_logits: Tensor | None = None
    sampling: Sampling | None = None

    @cached_property
    def likeliest(self) -> Tensor:
        """[B, C] int64: the most likely token at each position."""
        return self.logits.argmax(-1)

    @cached_property
    def hits(self) -> Tensor:
        """[B, C] bool: the most likely token is the true one, all tokens before it being true."""
        return self.likeliest == self.labels

    @cached_property
    def log_p(self) -> Tensor:
        """[B, C, V], nats, at least fp32."""
        return log_probabilities(self.logits)

    @cached_property
    def token_log_p(self) -> Tensor:
        """[B, C], nats, at least fp32: log p of each true token."""
        return _at(self.log_p, self.labels)

    @property
    def token_nll(self) -> Tensor:
        """[B, C], nats, at least fp32: -log p of each true token."""
        return -self.token_log_p

    @cached_property
    def token_z(self) -> Tensor:
        """[B, C]: log p of each true token, standardized (`likelihood.standardized`)."""
        return standardized(self.token_log_p, self.log_p)

    @cached_property
    def best(self) -> tuple[Tensor, Tensor]:
        """Logits and ids [B, C, K] of the most likely tokens, in falling order: as many as any metric looks at."""
        return self._best_of(self.logits)

    @cached_property
    def base_log_p(self) -> Tensor:
        """[B, C, V], nats, at least fp32. Raises ValueError without a base."""
        return log_probabilities(self._base)

    @property
    def token_kl(self) -> Tensor:
        """[B, C], nats: KL(base distribution, current distribution) at each position. Raises ValueError without a base."""
        return token_kl_of(self.base_log_p, self.log_p)

    @property
    def agrees(self) -> Tensor:
        """[B, C] bool: the most likely token is the base model's. Raises ValueError without a base."""
        return self.likeliest == self._base.argmax(-1)

    @property
    def token_ndcg(self) -> Tensor:
        """[B, C], at least fp32: nDCG of the first ten tokens (`agreement.token_ndcg`). Raises ValueError without a base."""
        # Found as the current model's, so that equal logits are ranked alike where tokens tie.
        ids = self._best_of(self._base)[1][..., :RANKS]
        return token_ndcg(self.base_log_p.gather(-1, ids).exp(), ids, self.best[1][..., :RANKS])

    @property
    def token_log_q(self) -> Tensor:
        """[B, C] fp64, nats: log of the probability with which each true token is sampled (`sampling.token_log_q`); summed,
        log p_z. Raises ValueError where p_z is not asked for."""
        if self.sampling is None:
            raise ValueError("p_z is not asked for")
        return token_log_q(self.best[0], _at(self.logits, self.labels), self.sampling)

    def _best_of(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        number = RANKS if self.sampling is None else max(RANKS, self.sampling.top_k)
        return most_likely(logits, min(number, logits.shape[-1]))

    @property
    def _base(self) -> Tensor:
        if self.base_logits is None:
            raise ValueError("there is no base model to compare with")
        return self.base_logits


def _at(values: Tensor, labels: Tensor) -> Tensor:
    """The labels' own, at least fp32: [B, C, V], labels [B, C] -> [B, C]."""
    return precise(values.gather(-1, labels.unsqueeze(-1)).squeeze(-1))


def token_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """[B, C] bool from logits [B, C, V] and labels [B, C]: the most likely token is the true one."""
    return logits.argmax(-1) == labels
