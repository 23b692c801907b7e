"""Rows of I token ids that became of a source, and those that were too short."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NAMED_SHORT = 1000
"""How many of the rows that are too short are known by name, at most."""


@dataclass(frozen=True)
class TokenRow:
    """What the row is called, its first I ids [I] (None where it has fewer), and whether it has more."""

    name: str
    ids: np.ndarray | None
    cut: bool


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Rows that were long enough.

    ids: [n, I] int64, the first I tokens of each. is_text: whether they were tokenized here; then text_start of the I tokens
    stand in front of the text (BOS).
    names: what the n rows are called.
    dropped: how many rows had fewer than I tokens; short: the names of the first of them. cut: how many of the n had more.
    """

    ids: Tensor
    is_text: bool
    text_start: int
    names: tuple[str, ...]
    dropped: int = 0
    short: tuple[str, ...] = ()
    cut: int = 0


def collect(rows: Iterable[TokenRow], length: int, *, is_text: bool, text_start: int = 0) -> TokenRows:
    """length: I."""
    kept, names = [], []
    short: list[str] = []
    dropped = cut = 0
    for row in rows:
        if row.ids is None:
            dropped += 1
            if len(short) < NAMED_SHORT:
                short.append(row.name)
            continue
        kept.append(row.ids)
        names.append(row.name)
        cut += row.cut
    ids = torch.from_numpy(np.stack(kept)) if kept else torch.empty(0, length, dtype=torch.int64)
    return TokenRows(
        ids=ids,
        is_text=is_text,
        text_start=text_start,
        names=tuple(names),
        dropped=dropped,
        short=tuple(short),
        cut=cut,
    )
