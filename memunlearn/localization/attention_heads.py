"""What the last prefix token attends to: every head's attention over the prefix (paper, section 5).

Only positions that a head can see count: a local layer whose window is shorter than the prefix gives the ones before it no
attention by construction, not by choice. They are told by it: exactly 0 from every head of the layer. The last token itself
does not count either, except in the entropy: what it keeps for itself says nothing about what it looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from scipy.stats import rankdata
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.localization.labelled import Labelled
from memunlearn.progress import track
from memunlearn.statistics.kendall import tau_b

DIMS: dict[str, tuple[tuple[str, ...], torch.dtype]] = {
    "attention": (("row", "layer", "head", "position"), torch.float32),
    "tau": (("row", "layer", "head"), torch.float64),
    "entropy": (("row", "layer", "head"), torch.float64),
    "rank_sums": (("set", "layer", "head", "rank"), torch.float64),
    "rank_counts": (("set", "layer", "rank"), torch.float64),
    "with_others": (("row", "layer", "head"), torch.float64),
    "co_sums": (("set", "layer", "head", "other_head"), torch.float64),
    "visible": (("layer",), torch.int64),
}


def by_rank(found: Labelled, sets: Sequence[int]) -> Tensor:
    """Mean attention per occurrence by rank, over these sets: [L, H, P], NaN where a rank has no occurrence."""
    counts = found["rank_counts"][list(sets)].sum(0)
    return found["rank_sums"][list(sets)].sum(0) / torch.where(counts > 0, counts, torch.nan).unsqueeze(1)


def head_correlation(found: Labelled, sets: Sequence[int]) -> Tensor:
    """Pearson correlation between the heads of a layer over these sets' occurrences: [L, H, H], NaN without variance."""
    return _correlation(found["co_sums"][list(sets)].sum(0))


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
    *,
    sets: Tensor,
    batch_size: int = 16,
    weights: Tensor | None = None,
    text_start: int = 0,
) -> Labelled:
    """Attention of the last token over the prefixes [N, P], by layer and head: one pass; all fp64 but `attention`.

    frequency: [V], how often each token occurs in a corpus; sets: [N] int64, 0 .. S - 1. weights: [N], what each row counts in
    the sums (default: 1). text_start: so many tokens in front are no text (BOS); attention to them counts as what a layer
    cannot see, in all but the entropy and `visible`. Raises UserError if there is no prefix, or no attention.

    Occurrences are the positions that a layer can see, without the last one.

    attention: [row, layer, head, position] fp32, NaN where there is no occurrence.
    tau: [row, layer, head], Kendall's tau-b between attention and corpus frequency over the occurrences in a prefix (one
        attention and one frequency a position, tokens that occur twice are two occurrences with tied frequencies); NaN where
        there is none.
    entropy: [row, layer, head], nats, of the attention over the whole prefix, the last token included.
    rank_sums, rank_counts: [set, layer, head, rank] and [set, layer, rank]: attention summed over the occurrences of a dense
        frequency rank within their prefix (0: its rarest tokens), and how many occurrences those are, both times the weight of
        their row.
    with_others: [row, layer, head], mean over the other heads of the layer of the Pearson correlation with them over the
        occurrences in a prefix; NaN where there is none.
    co_sums: [set, layer, head, other_head], weighted sums over occurrences of the products of two heads' attentions, less each
        row's mean.
    visible: [layer] int64, how many of the P positions a layer can see, text or not, the last one included.
    """
    if not len(prefixes):
        raise UserError("there is no paragraph whose attention could be read")
    n, p = prefixes.shape
    weights = torch.ones(n, dtype=torch.float64) if weights is None else weights.double()
    occurrences = frequency_of_text(frequency, prefixes, text_start)
    ranks = frequency_ranks(occurrences)
    found: dict[str, Tensor] = {}
    lengths: dict[str, int] = {}
    for rows, attention in attention_batches(model, prefixes, batch_size):
        layers, heads = attention.shape[1:3]
        if not found:
            lengths = {"row": n, "layer": layers, "head": heads, "other_head": heads, "position": p, "rank": p}
            lengths["set"] = int(sets.max()) + 1
            found = {name: torch.zeros(*(lengths[dim] for dim in dims), dtype=dtype) for name, (dims, dtype) in DIMS.items()}
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
    labels = {dim: range(length) for dim, length in lengths.items()}
    return Labelled(labels, {name: (DIMS[name][0], numbers) for name, numbers in found.items()})


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
