"""How long runs of right tokens are, from hits or from two texts. Needs no torch of its own: tensors bring their methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def leading_run(hits: Tensor) -> Tensor:
    """EM: [B, C] hits -> [B] int64, 0..C: how many come before the first miss."""
    return hits.long().cumprod(1).sum(1)


def longest_run(hits: Tensor) -> Tensor:
    """[B, C] hits -> [B] int64, 0..C: the longest run of hits at any offset."""
    counts = hits.long().cumsum(1)
    last_miss = counts.masked_fill(hits, 0).cummax(1).values
    return (counts - last_miss).amax(1)


def longest_common_run(one: Tensor, other: Tensor) -> Tensor:
    """Longest common run: token ids [N, A] and [N, B] -> [N] int64, 0..min(A, B), on their device.

    The most tokens in a row that stand in both texts, each text's at any place (the longest common substring, in tokens).
    """
    runs = one.new_zeros(len(one), other.shape[1] + 1)  # [n, j + 1]: how long a common run ends at the tokens i and j
    longest = one.new_zeros(len(one))
    for token in one.unbind(1):
        runs[:, 1:] = (runs[:, :-1] + 1) * (token.unsqueeze(1) == other)
        longest = longest.maximum(runs.amax(1))
    return longest
