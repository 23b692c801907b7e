"""Rows of I token ids that became of a source, and those that were too short."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.paragraphs.places import Place

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
    """Rows that became of rows of ids, or of texts.

    ids: [n, I] int64. is_text: whether they were tokenized here; then text_start of the I tokens stand in front of the text
    (BOS). names: what the n rows are called. places: where they stand in texts; none of rows of ids.
    needed: tokens that a row of ids or a text must have; long_enough: how many have them; dropped: how many have not; short:
    the names of the first of those. read: the first tokens of each that are read (None: all); cut: how many have more.
    """

    ids: Tensor
    is_text: bool
    names: tuple[str, ...]
    long_enough: int
    needed: int
    read: int | None
    text_start: int = 0
    places: tuple[Place | None, ...] = ()
    dropped: int = 0
    short: tuple[str, ...] = ()
    cut: int = 0


def collect(rows: Iterable[TokenRow], length: int) -> TokenRows:
    """Of rows of ids; length: I."""
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
    return TokenRows(
        ids=torch.from_numpy(np.stack(kept)) if kept else torch.empty(0, length, dtype=torch.int64),
        is_text=False,
        names=tuple(names),
        long_enough=len(kept),
        needed=length,
        read=length,
        dropped=dropped,
        short=tuple(short),
        cut=cut,
    )
