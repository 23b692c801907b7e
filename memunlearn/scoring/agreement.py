"""How far two models rank the next tokens alike. Needs no torch of its own: tensors bring their methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

RANKS = 10


def token_ndcg(base_p: Tensor, base_ids: Tensor, ids: Tensor) -> Tensor:
    """nDCG of the current model's first K tokens, each worth what the base model gives it if it is among the base's first K.

    base_p, base_ids: [B, C, K], the base model's most likely tokens in falling order and their probabilities; ids: the
    current model's. DCG = sum over ranks r = 1..K of gain / log2(r + 1), divided by that of the base model's own order: 1 where
    the order is the same, 0 where no token is. Returns [B, C]. (Jarvelin and Kekalainen 2002, doi 10.1145/582415.582418.)
    """
    discount = (base_p.new_ones(ids.shape[-1]).cumsum(0) + 1).log2().reciprocal()
    gained = (base_p.unsqueeze(-2) * (ids.unsqueeze(-1) == base_ids.unsqueeze(-2))).sum(-1)  # [B, C, K], by the current rank
    return (gained * discount).sum(-1) / (base_p * discount).sum(-1)
