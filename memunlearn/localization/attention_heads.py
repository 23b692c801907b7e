"""What the last prefix token attends to: every head's attention over the prefix (paper, section 5).

Only positions that a head can see count: a local layer whose window is shorter than the prefix gives the ones before it no
attention by construction, not by choice. They are told by it: exactly 0 from every head of the layer. The last token itself
does not count either, except in the entropy: what it keeps for itself says nothing about what it looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from scipy.stats import rankdata
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.progress import track
from memunlearn.statistics.kendall import tau_b


@dataclass(frozen=True, eq=False)
class HeadAttention:
    """Attention of the last prefix token in N paragraphs of S sets, by layer and head; all fp64 but `attention`, on the CPU.

    Occurrences are the positions that a layer can see, without the last one.

    attention: [N, L, H, P] fp32, NaN where there is no occurrence.
    tau: [N, L, H], Kendall's tau-b between attention and corpus frequency over the occurrences in a prefix (one attention and
        one frequency a position, tokens that occur twice are two occurrences with tied frequencies); NaN where there is none.
    entropy: [N, L, H], nats, of the attention over the whole prefix, the last token included.
    rank_sums, rank_counts: [S, L, H, P] and [S, L, P]: attention summed over the occurrences of a dense frequency rank within
        their prefix (0: its rarest tokens), and how many occurrences those are, both times the weight of their row.
    with_others: [N, L, H], mean over the other heads of the layer of the Pearson correlation with them over the occurrences in
        a prefix; NaN where there is none.
    co_sums: [S, L, H, H], weighted sums over occurrences of the products of two heads' attentions, less each row's mean.
    visible: [L] int64, how many of the P positions a layer can see, text or not, the last one included.
    """

    attention: Tensor
    tau: Tensor
    entropy: Tensor
    rank_sums: Tensor
    rank_counts: Tensor
    with_others: Tensor
    co_sums: Tensor
    visible: Tensor

    def by_rank(self, sets: Sequence[int]) -> Tensor:
        """Mean attention per occurrence by rank, over these sets: [L, H, P], NaN where a rank has no occurrence."""
        counts = self.rank_counts[list(sets)].sum(0)
        return self.rank_sums[list(sets)].sum(0) / torch.where(counts > 0, counts, torch.nan).unsqueeze(1)

    def head_correlation(self, sets: Sequence[int]) -> Tensor:
        """Pearson correlation between the heads of a layer over these sets' occurrences: [L, H, H], NaN without variance."""
        return _correlation(self.co_sums[list(sets)].sum(0))


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model computes its attention weights explicitly, so that it can tell them; afterwards as before."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@torch.no_grad()
def attention_batches(
    model: PreTrainedModel, prefixes: Tensor, batch_size: int = 16, description: str = "reading attention"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows [B] and the attention [B, L, H, P] fp64 of their last token over prefixes [N, P], batch by batch, on the CPU.

    Raises UserError if the model does not give attention weights.
    """
    for rows in track(torch.arange(len(prefixes)).split(batch_size), description) if len(prefixes) else ():
        inputs = prefixes[rows].to(model.device)
        with eager_attention(model):
            layers = model(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                output_attentions=True,
                use_cache=False,
                logits_to_keep=1,
            ).attentions
        if not layers or any(layer is None for layer in layers):
            raise UserError(
                f"{type(model).__name__} does not give its attention weights: analysis=attention_heads needs a model with "
                "eager attention in every layer"
            )
        yield rows, torch.stack([layer[:, :, -1].cpu().double() for layer in layers], dim=1)


def attention_heads(
    model: PreTrainedModel,
    prefixes: Tensor,
    frequency: Tensor,
    sets: Tensor,
    batch_size: int = 16,
    weights: Tensor | None = None,
    text_start: int = 0,
) -> HeadAttention:
    """One pass over the prefixes [N, P]. frequency: [V], how often each token occurs in a corpus; sets: [N] int64, 0 .. S - 1.

    weights: [N], what each row counts in the sums (default: 1). text_start: so many tokens in front are no text (BOS);
    attention to them counts as what a layer cannot see, in all but the entropy and `visible`. Raises UserError if there is no
    prefix, or no attention.
    """
    if not len(prefixes):
        raise UserError("there is no paragraph whose attention could be read")
    n, p = prefixes.shape
    weights = torch.ones(n, dtype=torch.float64) if weights is None else weights.double()
    occurrences = frequency_of_text(frequency, prefixes, text_start)
    ranks = frequency_ranks(occurrences)
    found: dict[str, Tensor] = {}
    for rows, attention in attention_batches(model, prefixes, batch_size):
        layers, heads = attention.shape[1:3]
        if not found:
            s = int(sets.max()) + 1
            found = {
                "attention": torch.empty(n, layers, heads, p),
                "tau": torch.empty(n, layers, heads, dtype=torch.float64),
                "entropy": torch.empty(n, layers, heads, dtype=torch.float64),
                "rank_sums": torch.zeros(s, layers, heads, p, dtype=torch.float64),
                "rank_counts": torch.zeros(s, layers, p, dtype=torch.float64),
                "with_others": torch.empty(n, layers, heads, dtype=torch.float64),
                "co_sums": torch.zeros(s, layers, heads, heads, dtype=torch.float64),
                "visible": torch.zeros(layers, dtype=torch.int64),
            }
        seen = (attention > 0).any(2)  # [B, L, P]
        found["visible"] = torch.maximum(found["visible"], seen.sum(2).amax(0))
        seen[..., :text_start] = False
        seen[..., -1] = False
        only_seen = torch.where(seen.unsqueeze(2), attention, torch.nan)
        found["attention"][rows] = only_seen.float()
        found["tau"][rows] = torch.from_numpy(tau_b(only_seen, occurrences[rows][:, None, None]))
        found["entropy"][rows] = torch.special.entr(attention).sum(-1)
        weight = weights[rows][:, None, None]
        of_rank = torch.nn.functional.one_hot(ranks[rows], p).double() * weight  # [B, P, ranks]
        found["rank_sums"].index_add_(0, sets[rows], only_seen.nan_to_num(nan=0.0) @ of_rank.unsqueeze(1))
        found["rank_counts"].index_add_(0, sets[rows], seen.double() @ of_rank)
        centred = (only_seen - only_seen.nanmean(-1, keepdim=True)).nan_to_num(nan=0.0)
        products = centred @ centred.transpose(2, 3)  # [B, L, H, H]
        found["with_others"][rows] = (
            _correlation(products).masked_fill(torch.eye(heads, dtype=torch.bool), torch.nan).nanmean(-1)
        )
        found["co_sums"].index_add_(0, sets[rows], products * weight.unsqueeze(3))
    return HeadAttention(**found)


def _correlation(products: Tensor) -> Tensor:
    """Sums of products of centred values, [..., H, H], as correlations; NaN without variance."""
    scale = products.diagonal(dim1=-2, dim2=-1).sqrt()
    scale = torch.where(scale > 0, scale, torch.nan)
    return products / scale.unsqueeze(-1) / scale.unsqueeze(-2)


def frequency_of_text(frequency: Tensor, prefixes: Tensor, text_start: int) -> Tensor:
    """How often the tokens of prefixes [N, P] occur: [N, P] fp64. What stands before the text gets the rarest one's number,
    so that no rank is its own."""
    occurrences = frequency[prefixes].double()
    if 0 < text_start < prefixes.shape[1]:
        occurrences[:, :text_start] = occurrences[:, text_start:].amin(1, keepdim=True)
    return occurrences


def frequency_ranks(occurrences: Tensor) -> Tensor:
    """Dense rank within its row of each frequency [N, P], 0 for the lowest, ties sharing a rank: [N, P] int64."""
    return torch.from_numpy(rankdata(occurrences.numpy(), method="dense", axis=1)).long() - 1
