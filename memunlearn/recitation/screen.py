"""A first look at long texts: which tokens a model would have said, in few passes over all of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.scoring.forward import continuation_logits

LEAST_HITS = 0.6
"""Share of a continuation's tokens that must be hits for a window to be looked at itself."""


@torch.no_grad()
def screened_hits(
    model: PreTrainedModel, ids: Tensor, before: Sequence[int], length: int, *, step: int, batch_tokens: int
) -> Tensor:
    """[T] bool: whether the most likely token is the true one, in some pass over ids [T] that sees what stands before it.

    Passes of `length` tokens begin every `step` tokens, so a token is seen by several. before: stands in front of each pass
    (BOS). batch_tokens: tokens at once. The first token of a pass is predicted by nothing, unless `before` is.
    """
    room = length - len(before)
    hits = torch.zeros(len(ids), dtype=torch.bool)
    if len(ids) < 2:
        return hits
    room = min(room, len(ids))
    starts = list(range(0, len(ids) - room + 1, max(1, min(step, room))))
    if starts[-1] != len(ids) - room:
        starts.append(len(ids) - room)
    front = torch.tensor(before, dtype=torch.int64)
    predicted = room - (0 if len(before) else 1)
    for some in torch.tensor(starts).split(max(1, batch_tokens // length)):
        rows = torch.stack([torch.cat([front, ids[start : start + room]]) for start in some.tolist()])
        right = (continuation_logits(model, rows, predicted).argmax(-1).cpu()) == rows[:, -predicted:]
        for start, row in zip(some.tolist(), right, strict=True):
            hits[start + room - predicted : start + room] |= row
    return hits


def candidates(hits: Tensor, continuation_length: int, min_prefix: int, neighbourhood: int) -> list[int]:
    """The starts of continuations that are worth a look: those of which LEAST_HITS are hits [T], and so many around each.

    Only where a whole continuation and min_prefix tokens before it fit into the text.
    """
    last = len(hits) - continuation_length
    if last < min_prefix:
        return []
    sums = torch.cat([torch.zeros(1, dtype=torch.int64), hits.long().cumsum(0)])
    share = (sums[continuation_length:] - sums[:-continuation_length]) / continuation_length
    looked_at = torch.zeros(len(share), dtype=torch.bool)
    for start in (share >= LEAST_HITS).nonzero().flatten().tolist():
        looked_at[max(0, start - neighbourhood) : start + neighbourhood + 1] = True
    looked_at[:min_prefix] = False
    return looked_at.nonzero().flatten().tolist()
