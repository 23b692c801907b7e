"""EM bins: the paper's 0-10, 11-29, 30-49 and 50, scaled to continuations of any length C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the list of metrics is read without torch
    from torch import Tensor


@dataclass(frozen=True)
class EMBin:
    """low and high: the EM values of the bin, both included. label: `11-29`, or `50` for a single value."""

    low: int
    high: int

    @property
    def label(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def em_bins(continuation_length: int) -> tuple[EMBin, ...]:
    """The bins that partition 0..C, lowest first: EM <= C/5 (non-memorized), < 3C/5, < C, and C (memorized).

    The two in the middle are left out where no EM falls into them (C < 4). Raises ValueError for C < 1.
    """
    length = continuation_length
    if length < 1:
        raise ValueError(f"a continuation has at least one token, not {length}")
    non_memorized, below_three_fifths = length // 5, (3 * length - 1) // 5
    edges = [0, non_memorized + 1, max(non_memorized, below_three_fifths) + 1, length, length + 1]
    return tuple(EMBin(low, high - 1) for low, high in zip(edges, edges[1:], strict=False) if low < high)


def bin_labels(em: Tensor, continuation_length: int) -> list[str]:
    """The label of each row's bin. em: [N] integers in 0..C."""
    label_of = [em_bin.label for em_bin in em_bins(continuation_length) for _ in range(em_bin.low, em_bin.high + 1)]
    return [label_of[int(value)] for value in em]


def is_memorized(em: Tensor, continuation_length: int) -> Tensor:
    """[N] boolean: EM = C."""
    return em == continuation_length


def is_non_memorized(em: Tensor, continuation_length: int) -> Tensor:
    """[N] boolean: EM <= C/5."""
    return 5 * em <= continuation_length
