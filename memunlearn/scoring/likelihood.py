"""What the likelihoods of a text's tokens say of whether a model has seen it. Needs no torch: tensors bring their methods."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LOWEST = 0.2  # the share of a text's tokens that min-k and min-k++ look at
LEAST_SPREAD = 1e-6  # nats


def mean_of_lowest(values: Tensor) -> Tensor:
    """The mean of the lowest 20 % of each row's values, of one at least: [B, C] -> [B] (Shi et al., arXiv 2310.16789)."""
    number = max(1, math.floor(LOWEST * values.shape[1] + 1e-9))
    return values.sort(1).values[:, :number].mean(1)


def standardized(token_log_p: Tensor, log_p: Tensor) -> Tensor:
    """(log p(y) - mu) / sigma, mu and sigma the mean and standard deviation of log p of a token that the model draws itself.

    token_log_p: [B, C], the true tokens'; log_p: [B, C, V], of the whole vocabulary. Returns [B, C]. sigma counts as 1e-6 nats
    at least (a model that is sure of one token draws nothing else). Zhang et al., arXiv 2404.02936.
    """
    z = token_log_p.clone()
    for row, of_row in enumerate(log_p):  # a row at a time: no second [B, C, V]
        p = of_row.exp()
        mu = (p * of_row).sum(-1)
        spread = p.mul_((of_row - mu.unsqueeze(-1)).square_()).sum(-1).sqrt()
        z[row] = (token_log_p[row] - mu) / spread.clamp_min(LEAST_SPREAD)
    return z


def compressed_bytes(texts: Sequence[str]) -> list[int]:
    """How many bytes each text takes in UTF-8, compressed by zlib: [N]."""
    return [len(zlib.compress(text.encode("utf-8", errors="replace"))) for text in texts]


def nll_per_byte(token_nll: Tensor, text_bytes: Tensor) -> Tensor:
    """Summed NLL / bytes of the compressed text: [N, C] nats and [N] -> [N] fp64, nats per byte (Carlini et al., arXiv
    2012.07805, section 5: zlib entropy)."""
    return token_nll.double().sum(1) / text_bytes
