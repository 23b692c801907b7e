"""EM, longest run, NLL and KL as torchmetrics: updated batch by batch, one value a paragraph; and what two texts share.

The metrics take logits [B, C, V] at the positions that predict the continuation and its labels [B, C]; `compute()` is [N],
in the order of the updates (torchmetrics makes a scalar of a single value: reshape what it gives).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from memunlearn.objectives.losses import token_kl, token_nll


def token_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """[B, C] bool: the most likely token is the true one, all tokens before it being true."""
    return logits.argmax(-1) == labels


def leading_run(hits: Tensor) -> Tensor:
    """EM: [B, C] hits -> [B] int64, 0..C: how many come before the first miss."""
    return hits.long().cumprod(1).sum(1)


def longest_run(hits: Tensor) -> Tensor:
    """[B, C] hits -> [B] int64, 0..C: the longest run of hits at any offset."""
    counts = hits.long().cumsum(1)
    last_miss = torch.where(hits, 0, counts).cummax(1).values
    return (counts - last_miss).amax(1)


def longest_common_run(one: Tensor, other: Tensor) -> Tensor:
    """Longest common run: token ids [N, A] and [N, B] -> [N] int64, 0..min(A, B), on their device.

    The most tokens in a row that stand in both texts, each text's at any place (the longest common substring, in tokens).
    """
    runs = one.new_zeros(len(one), other.shape[1] + 1)  # [n, j + 1]: how long a common run ends at the tokens i and j
    longest = one.new_zeros(len(one))
    for token in one.unbind(1):
        runs[:, 1:] = torch.where(token.unsqueeze(1) == other, runs[:, :-1] + 1, 0)
        longest = torch.maximum(longest, runs.amax(1))
    return longest


class _PerParagraph(Metric):
    """Keeps one value a paragraph; torchmetrics gathers them over processes."""

    full_state_update = False
    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def compute(self) -> Tensor:
        return dim_zero_cat(self.values)


class ExactMatch(_PerParagraph):
    """EM [N] int64 (DESIGN: leading continuation tokens that greedy decoding gets right, 0..C)."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        self.values.append(leading_run(token_hits(logits, labels)))


class LongestRun(_PerParagraph):
    """Longest run [N] int64 of teacher-forced hits at any offset, 0..C."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        self.values.append(longest_run(token_hits(logits, labels)))


class TokenNLL(_PerParagraph):
    """[N, C] fp32, nats: -log p of each true token; its mean over a row is the paragraph's NLL."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        self.values.append(token_nll(logits, labels))


class ReferenceKL(_PerParagraph):
    """KL [N] fp32, nats per token: mean over the continuation of KL(base distribution, current distribution)."""

    def update(self, reference_logits: Tensor, logits: Tensor) -> None:
        self.values.append(token_kl(reference_logits, logits).mean(1))
