"""The losses, as pure functions of logits: nats per token, never sums over tokens.

B rows, C positions, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def precise(values: Tensor) -> Tensor:
    """The same in fp32, which autocast's bf16 is not; fp64 stays."""
    return values if values.dtype == torch.float64 else values.float()


def log_probabilities(logits: Tensor) -> Tensor:
    """log softmax over the vocabulary, in nats and at least fp32: [..., V] -> [..., V]."""
    return functional.log_softmax(precise(logits), dim=-1)


def token_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label], in nats and at least fp32: logits [B, C, V], labels [B, C] -> [B, C]."""
    return functional.cross_entropy(precise(logits).transpose(1, 2), labels, reduction="none")


def token_kl(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """KL(reference || current) = sum_v p_ref(v) (log p_ref(v) - log p(v)) at every position, in nats and at least fp32.

    Both [B, C, V] -> [B, C]; never below 0.
    """
    return token_kl_of(log_probabilities(reference_logits), log_probabilities(logits))


def token_kl_of(reference: Tensor, current: Tensor) -> Tensor:
    """`token_kl` of two models' log-probabilities, both [B, C, V] -> [B, C]."""
    # The sum of terms that cancel can end a rounding error below 0, where KL cannot be.
    return functional.kl_div(current, reference, reduction="none", log_target=True).sum(-1).clamp_min(0.0)


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """NLL = mean over rows and positions of -log p(true token | all true tokens before it): a scalar, nats per token."""
    return token_nll(logits, labels).mean()


def bounded(tokens: Tensor, bound: float) -> Tensor:
    """min(NLL, bound) of every token: [B, C] -> [B, C], in nats; a token above the bound has no gradient."""
    return tokens.clamp_max(bound)


def kl(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """KL = mean over rows and positions of KL(reference || current): a scalar, nats per token.

    PyTorch's `kl_div(reduction="batchmean")` divides by rows only, C times as much.
    """
    return token_kl(reference_logits, logits).mean()


def token_entropy(logits: Tensor) -> Tensor:
    """H = -sum_v p(v) log p(v) at every position: [B, C, V] -> [B, C], in nats, at least fp32."""
    log_p = log_probabilities(logits)
    return -(log_p.exp() * log_p).sum(-1)


def shifted(logits: Tensor, labels: Tensor, nats: float) -> Tensor:
    """The logits with each label's changed by so many nats, at least fp32: [B, C, V], labels [B, C] -> [B, C, V]."""
    return precise(logits) + functional.one_hot(labels, logits.shape[-1]) * nats


def without_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits of all other tokens, each label's -inf, at least fp32: [B, C, V], labels [B, C] -> [B, C, V]."""
    return precise(logits).scatter(-1, labels.unsqueeze(-1), -torch.inf)


def token_cross_entropy(logits: Tensor, wanted_logits: Tensor) -> Tensor:
    """CE = -sum_v q(v) log p(v) at every position, q = softmax(wanted_logits), a constant target where these are.

    Both [B, C, V] -> [B, C], in nats, at least fp32. Bounded from below by the entropy of q.
    """
    wanted = precise(wanted_logits).softmax(-1)
    ce = functional.cross_entropy(precise(logits).flatten(0, 1), wanted.flatten(0, 1), reduction="none")
    return ce.view(logits.shape[:2])
