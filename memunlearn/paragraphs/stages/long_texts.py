"""The texts of a stage as paragraphs, cut into windows as other texts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Beginning, Bos, Tokenizer, beginning_of
from memunlearn.paragraphs.readers import ReadResult, check_row_lengths, keep_long_enough
from memunlearn.paragraphs.text_rows import text_rows, token_texts
from memunlearn.paragraphs.texts import Text
from memunlearn.paragraphs.windows import Cutting, Windows
from memunlearn.progress import track


def check_windows(prefix_length: int, continuation_length: int, max_windows: int | None) -> None:
    """Raises UserError for settings that make no row."""
    check_row_lengths(prefix_length, continuation_length)
    _windows("forget", prefix_length, continuation_length, max_windows, 1)


def rows_of_long_texts(
    texts: Sequence[Text],
    source: str,
    prefix_length: int,
    continuation_length: int,
    *,
    max_windows: int | None,
    tokenizer: Tokenizer | None,
    bos: Bos,
    where: str,
) -> ReadResult:
    """The windows of each text, as `Cutting` has them for a set of that name (source).

    max_windows: rows at most, of forget too: of many long texts the first ones of each (None: all).
    Says on stderr what was too short and what was cut. Raises UserError without a tokenizer, and where no row is left.
    """
    known, beginning = with_beginning(tokenizer, bos, where)
    if not texts:
        raise UserError(f"{where}: there is no such text in the data set: choose another with the settings of paragraphs")
    windows = _windows(source, prefix_length, continuation_length, max_windows, len(texts))
    count = windows.tokens_read(len(beginning.ids))
    tokens = token_texts(track(texts, f"reading {where}"), count, known, beginning, source)
    return keep_long_enough([text_rows(tokens, windows, beginning.ids)], prefix_length, where, beginning)


def with_beginning(tokenizer: Tokenizer | None, bos: Bos, where: str) -> tuple[Tokenizer, Beginning]:
    """The tokenizer, and what it puts in front of text. Raises UserError where there is none, and as `beginning_of` does."""
    if tokenizer is None:
        raise UserError(f"{where}: holds text, which needs a tokenizer: set model.tokenizer=DIR_OR_NAME")
    return tokenizer, beginning_of(tokenizer, bos)


def _windows(source: str, prefix_length: int, continuation_length: int, max_windows: int | None, texts: int) -> Windows:
    windows = Cutting(source, max_windows=max_windows).windows(prefix_length, continuation_length, texts)
    return replace(windows, most=None if max_windows is None else max(1, max_windows // texts))
