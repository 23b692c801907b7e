"""From long texts to paragraphs: windows of P + C tokens."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Bos, Tokenizer
from memunlearn.paragraphs.first_tokens import first_tokens
from memunlearn.paragraphs.stages.rows import (
    StageRows,
    batches,
    check_lengths,
    how_text_begins,
    made,
    without_beginning,
)


def check_windows(prefix_length: int, continuation_length: int, max_windows: int | None) -> None:
    """Raises UserError for settings that make no row."""
    check_lengths(prefix_length, continuation_length)
    if max_windows is not None and max_windows < 1:
        raise UserError(f"paragraphs.max_windows={max_windows} leaves no row: set 1 or more, or null for all of a text")


def windows(
    texts: Iterable[tuple[str, ...]],
    prefix_length: int,
    continuation_length: int,
    *,
    max_windows: int | None,
    overlap: bool,
    tokenizer: Tokenizer | None,
    bos: Bos,
    where: str,
) -> StageRows:
    """Rows of (origin, text) pairs, each named `ORIGIN@TOKEN` after the token of the text that it starts with.

    max_windows: the most of one text, from its beginning; None takes all of it.
    overlap: windows start C tokens apart, so that each token behind the first P stands in a continuation; else I tokens apart,
    sharing nothing. The last of a text ends with it.
    Says on stderr how many texts were too short, and how many go on behind their windows.
    Raises UserError without a tokenizer, and where no text is long enough.
    """
    tokenizer, beginning = how_text_begins(tokenizer, bos, where)
    width = prefix_length + continuation_length - len(beginning.ids)
    stride = continuation_length if overlap else width
    most = sys.maxsize if max_windows is None else (max_windows - 1) * stride + width
    rows, origins = [], []
    dropped = cut = 0
    for batch in batches(texts):
        named = [origin for origin, _ in batch]
        for origin, (found, more) in zip(named, first_tokens([text for _, text in batch], most, tokenizer, named), strict=True):
            tokens = without_beginning(found, beginning)
            starts = window_starts(len(tokens), width, stride, whole=not more)
            dropped += not starts
            cut += more
            rows += [[*beginning.ids, *tokens[start : start + width]] for start in starts]
            origins += [f"{origin}@{start}" for start in starts]
    if cut:
        print(f"{where}: {cut} texts cut to their first {max_windows} windows (paragraphs.max_windows)", file=sys.stderr)
    why = f"fewer than {width} tokens"
    return made(rows, origins, prefix_length, beginning, where=where, dropped=dropped, why=why)


def window_starts(count: int, width: int, stride: int, whole: bool) -> list[int]:
    """Where windows of `width` start in `count` tokens: every `stride`; and one that ends with the text, if that is whole."""
    last = count - width
    starts = list(range(0, last + 1, stride))
    return [*starts, last] if whole and starts and starts[-1] < last else starts
