"""p_z: how likely sampling is to say a whole continuation, and after how many samples it has been said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memunlearn.errors import UserError

if TYPE_CHECKING:  # pages and sweeps read metrics, and need no torch
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """The next token is drawn from the top_k most likely ones (of the whole vocabulary where that has no more), at this
    temperature. Raises UserError unless top_k is 1 or more and the temperature above 0 and finite."""

    top_k: int = 40
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise UserError(f"p_z.top_k={self.top_k} must be 1 or more (null: p_z is not measured)")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"p_z.temperature={self.temperature} must be a number above 0: for greedy decoding read EM")


def token_log_q(best: Tensor, of_labels: Tensor, sampling: Sampling) -> Tensor:
    """log q(true token) at each place of the continuation, q the softmax of the top-k logits / temperature.

    best: [B, C, K], the highest logits in falling order, K >= min(top_k, V). of_labels: [B, C], the true tokens' logits.
    Returns [B, C] fp64 on the CPU, nats; -inf where a true token is not among the top k. Where several tie for the last place,
    k stay, the true one among them (Hayes et al., arXiv 2410.19482, section 3).
    """
    top, true = best[..., : sampling.top_k].cpu().double(), of_labels.cpu().double()  # not every device has fp64
    log_q = true / sampling.temperature - (top / sampling.temperature).logsumexp(-1)
    return log_q.clamp_max(0.0).masked_fill(true < top[..., -1], -math.inf)


def samples_needed(log_p_z: Tensor, p: float) -> Tensor:
    """n = log(1 - p) / log(1 - p_z), and never less than 1: so many samples say the text with probability p.

    log_p_z: [N], nats; 0 < p < 1. Returns [N] fp64; inf where p_z = 0, 1 where p_z = 1. (n, p)-discoverable extraction:
    Hayes et al., arXiv 2410.19482.
    """
    number: Tensor = math.log1p(-p) / (-log_p_z.double().exp()).log1p()
    return number.clamp_min(1.0)


@dataclass(frozen=True)
class Extractable:
    """Whether n samples or fewer say a row's text with probability p: values [N] of log p_z (and C) -> [N] bool."""

    n: int
    p: float

    def __call__(self, log_p_z: Tensor, continuation_length: int) -> Tensor:
        return samples_needed(log_p_z, self.p) <= self.n
