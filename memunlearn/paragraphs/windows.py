"""Windows of a text: rows of P + C tokens, so that all of it is looked at and not its beginning only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import FILL

SHORTEST_PREFIX = 10
"""Tokens of text that a continuation is predicted from at least, unless `paragraphs.min_prefix` says otherwise."""
MOST_WINDOWS = 4096
Stride = int | str
"""`paragraphs.stride`: tokens from the beginning of one continuation to the next; auto; first: one window."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a text is cut into rows.

    prefix_length, continuation_length: P and C, tokens.
    stride: tokens from one continuation to the next. first_only: the window at the text's beginning and no other.
    min_prefix: the fewest tokens of text that a continuation is predicted from.
    covering: every token behind the first `min_prefix` lies in a continuation, if need be in two; else continuations begin
    behind the first P tokens, prefixes are short only in texts that have no more, and what is left at the end is left out.
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

    def starts(self, tokens: int, before: int = 0) -> list[int]:
        """The tokens with which the continuations of a text begin; none of one that is too short.

        tokens: of the text; before: so many of the P stand in front of it (BOS).
        """
        last, room = tokens - self.continuation_length, self.prefix_length - before
        if last < (least := min(self.min_prefix, room)):
            return []
        begin = least if self.covering else min(room, last)
        if self.first_only:
            return [min(room, last)]
        starts = list(range(begin, last + 1, self.stride))
        if self.covering and starts[-1] != last:
            starts.append(last)
        return starts[: self.most]

    def needed(self, before: int = 0) -> int:
        """Tokens of text without which there is no window."""
        return min(self.min_prefix, self.prefix_length - before) + self.continuation_length

    def tokens_read(self, before: int = 0) -> int | None:
        """How many tokens of a long text are looked at; None: all of it."""
        most, room = 1 if self.first_only else self.most, self.prefix_length - before
        if most is None:
            return None
        begin = min(self.min_prefix, room) if self.covering and not self.first_only else room
        return begin + (most - 1) * self.stride + self.continuation_length


@dataclass(frozen=True)
class Cutting:
    """How the texts of one set are cut into windows: what the settings `paragraphs.stride`, `min_prefix` and `max_windows` ask.

    source: which set it is. Of `forget` all that stands behind the first `min_prefix` tokens lies in a continuation, however
    long its texts are. Windows of `retain` and `unseen` do not overlap, those of other sets have continuations side by side;
    they have whole prefixes where the text is long enough, and there are at most `max_windows` of a set: of many long texts the
    first ones of each, as many of each as of the others (None: all). With a number as stride all of each text is covered.
    """

    source: str
    stride: Stride = "auto"
    min_prefix: int | None = None
    max_windows: int | None = MOST_WINDOWS

    @property
    def is_bounded(self) -> bool:
        """Whether it depends on how many texts there are how much of each is read."""
        return self.stride == "auto" and self.source != "forget" and self.max_windows is not None

    def windows(self, prefix_length: int, continuation_length: int, texts: int = 1) -> Windows:
        """For so many texts. Raises UserError for settings that cannot be."""
        first, auto = self.stride == "first", self.stride == "auto"
        if not (first or auto) and (isinstance(self.stride, bool) or not isinstance(self.stride, int)):
            raise UserError(f"paragraphs.stride={self.stride} must be 1 or more tokens, auto, or first")
        if self.max_windows is not None and self.max_windows < 1:
            raise UserError(f"paragraphs.max_windows={self.max_windows} must be 1 or more, or null for all")
        apart = prefix_length + continuation_length if self.source in ("retain", "unseen") else continuation_length
        return Windows(
            prefix_length=prefix_length,
            continuation_length=continuation_length,
            stride=self.stride if isinstance(self.stride, int) else apart,
            min_prefix=min(SHORTEST_PREFIX, prefix_length) if self.min_prefix is None else self.min_prefix,
            covering=not first and (self.source == "forget" or not auto),
            first_only=first,
            most=max(1, self.max_windows // texts) if self.is_bounded and self.max_windows is not None else None,
        )


def window_rows(
    tokens: Tensor, starts: Sequence[int], prefix_length: int, continuation_length: int, before: Sequence[int] = ()
) -> Tensor:
    """[n, P + C] int64: what precedes the text, FILL where a prefix is short, tokens [T] up to each start and C from there on.

    Raises ValueError for a start that leaves no prefix, or no whole continuation.
    """
    room = prefix_length - len(before)
    if starts and (min(starts) < (0 if before else 1) or max(starts) + continuation_length > len(tokens)):
        raise ValueError(f"continuations at {min(starts)} to {max(starts)} do not fit into {len(tokens)} tokens")
    padded = torch.cat([tokens.new_full((room,), FILL), tokens])
    places = torch.tensor(starts, dtype=torch.int64).unsqueeze(1) + torch.arange(room + continuation_length)
    return torch.cat([tokens.new_tensor(before).expand(len(starts), -1), padded[places]], dim=1)
