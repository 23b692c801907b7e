"""The K highest of many scores that lie in many tensors, without gathering or sorting them all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BINS = 1 << 16


def top_positions(scores: Sequence[Tensor], k: int) -> list[Tensor]:
    """Where the k highest scores are: per tensor sorted int64 positions, on its device; k in all.

    scores: fp32 [n] each, free of NaN, at least k values together. Of equal scores at the border the earlier tensor's win,
    then the earlier positions.
    """
    if k == 0:
        return [torch.empty(0, dtype=torch.int64, device=values.device) for values in scores]
    border = _kth_highest(scores, k)
    ties_left = k - sum(int((values > border).count_nonzero()) for values in scores)
    chosen = []
    for values in scores:
        ties = (values == border).nonzero().flatten()[:ties_left]
        ties_left -= len(ties)
        above = values > border
        above[ties] = True
        chosen.append(above.nonzero().flatten())
    return chosen


def _kth_highest(scores: Sequence[Tensor], k: int) -> float:
    """The k-th highest score: counted into bins of neighbouring fp32 numbers first, so that only one bin need be sorted."""
    counts = torch.stack([torch.bincount(_bins(values), minlength=BINS).cpu() for values in scores]).sum(0)
    reached = counts.flip(0).cumsum(0)  # scores in the highest bin, in the highest two, ...
    place = int((reached >= k).nonzero()[0])
    left_in_bin = k - int(reached[place] - counts.flip(0)[place])
    border_bin = torch.cat([values[_bins(values) == BINS - 1 - place].cpu() for values in scores])
    return float(border_bin.topk(left_in_bin).values[-1])


def _bins(values: Tensor) -> Tensor:
    """The upper 16 of each number's 32 bits as an int32 in 0 .. BINS - 1 that grows with the number."""
    bits = (values + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0: the two zeros tie
    # Negative floats count upwards as they fall; flipping all bits but the sign turns them round.
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (ordered >> 16) + BINS // 2
