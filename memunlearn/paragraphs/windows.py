"""Windows of a text: rows of P + C tokens, so that all of it is looked at and not its beginning only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import FILL

Stride = int | str | None
"""`paragraphs.stride`: tokens from the beginning of one continuation to the next; auto (or None) takes C; first: one window."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a text is cut into rows.

    prefix_length, continuation_length: P and C, tokens.
    stride: tokens from one continuation to the next. first_only: the window at the text's beginning and no other.
    min_prefix: the fewest tokens of text that a continuation is predicted from.
    covering: every token behind the first `min_prefix` lies in a continuation; else continuations begin behind the first P
    tokens, and prefixes are short only in texts that have no more.
    most: windows of a text at most, from its beginning; None: all.
    """

    prefix_length: int
    continuation_length: int
    stride: int
    min_prefix: int
    covering: bool
    first_only: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UserError(f"paragraphs.stride={self.stride} must be 1 or more tokens, auto, or first")
        if not 1 <= self.min_prefix <= self.prefix_length:
            raise UserError(
                f"paragraphs.min_prefix={self.min_prefix} must be from 1 to paragraphs.prefix_length={self.prefix_length}"
            )

    def shortest(self) -> int:
        """Tokens of text that a row needs at least."""
        return self.min_prefix + self.continuation_length

    def starts(self, tokens: int, before: int = 0) -> list[int]:
        """The tokens with which the continuations of a text begin; none of one that is too short.

        tokens: of the text; before: so many of the P stand in front of it (BOS).
        """
        last = tokens - self.continuation_length
        if last < self.min_prefix:
            return []
        room = max(self.prefix_length - before, self.min_prefix)
        begin = self.min_prefix if self.covering else min(room, last)
        if self.first_only:
            return [min(room, last)]
        starts = list(range(begin, last + 1, self.stride))
        if starts[-1] != last:
            starts.append(last)
        return starts[: self.most]

    def tokens_read(self, before: int = 0) -> int | None:
        """How many tokens of a long text are looked at; None: all of it."""
        most = 1 if self.first_only else self.most
        if most is None:
            return None
        begin = self.min_prefix if self.covering and not self.first_only else max(self.prefix_length - before, self.min_prefix)
        return begin + (most - 1) * self.stride + self.continuation_length


def window_rows(
    tokens: Sequence[int], starts: Sequence[int], prefix_length: int, continuation_length: int, before: Sequence[int] = ()
) -> Tensor:
    """[n, P + C] int64: what precedes the text, FILL where a prefix is short, the tokens up to each start and C from there on.

    Raises ValueError for a start that leaves no prefix, or no whole continuation.
    """
    room = prefix_length - len(before)
    text = np.asarray(tokens, dtype=np.int64)
    if starts and (min(starts) < 1 or max(starts) + continuation_length > len(text)):
        raise ValueError(f"continuations at {min(starts)} to {max(starts)} do not fit into {len(text)} tokens")
    padded = np.concatenate([np.full(room, FILL, dtype=np.int64), text])
    cut = np.stack([padded[start : start + room + continuation_length] for start in starts]) if starts else None
    if cut is None:
        return torch.empty(0, prefix_length + continuation_length, dtype=torch.int64)
    first = np.broadcast_to(np.asarray(before, dtype=np.int64), (len(cut), len(before)))
    return torch.from_numpy(np.concatenate([first, cut], axis=1))
