"""From what a file or a data set holds (numbers, lists, strings, text) to int64 token ids, checked row by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memunlearn.errors import UserError

Tokenizer = Callable[..., Any]
"""A transformers tokenizer: called with a list of texts, it answers a mapping with `input_ids`."""

ID_COLUMNS = ("ids", "input_ids", "tokens")
TEXT_COLUMNS = ("paragraph", "text")
_NUMBERS_ONLY = re.compile(r"[\s\[\](),.+\-]*\d[\d\s\[\](),.+\-]*")


@dataclass(frozen=True)
class TokenRows:
    """Rows that were long enough.

    ids: [n, I] int64, the first I tokens of each.
    positions: n row numbers in the source, from 0.
    dropped: how many rows had fewer than I tokens.
    """

    ids: Tensor
    positions: tuple[int, ...]
    dropped: int


def whole_numbers(values: np.ndarray, origins: Sequence[str]) -> np.ndarray:
    """values [N, W] of any integer type, or of floats that are integers, as int64 [N, W].

    Raises UserError that names the row (one of the N origins) for NaN, infinity, fractions and numbers beyond int64,
    and for arrays of anything but numbers. Negative numbers pass: ParagraphSet refuses them.
    """
    if values.dtype.kind not in "iuf":
        raise UserError(f"{origins[0]}: holds {values.dtype}, not token ids: ids must be whole numbers")
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values) | (values != np.floor(values)) | (np.abs(values) >= 2.0**63)
    else:
        bad = values > np.iinfo(np.int64).max
    if bad.any():
        row, place = np.argwhere(bad)[0]
        raise UserError(
            f"{origins[row]}: {values[row, place]} at position {place} is not a token id: ids must be whole numbers"
        )
    return values.astype(np.int64)


def choose_column(names: Sequence[str], wanted: str | None, where: str) -> str:
    """The column to read: the wanted one, else a usual name for ids, else one for text, else the only column.

    Raises UserError that lists the columns there are.
    """
    if not names:
        raise UserError(f"{where}: has no columns: name them in its first line")
    if wanted is not None:
        if wanted in names:
            return wanted
        raise UserError(f"{where}: no column {wanted!r}: set paragraphs.column to one of: {', '.join(names)}")
    for usual in (*ID_COLUMNS, *TEXT_COLUMNS):
        if usual in names:
            return usual
    if len(names) == 1:
        return names[0]
    raise UserError(f"{where}: which column holds the paragraphs? Set paragraphs.column to one of: {', '.join(names)}")


def token_rows(values: Sequence[object], column: str, length: int, tokenizer: Tokenizer | None, where: str) -> TokenRows:
    """The values of one column, a row each: lists of ids, ids written as `[1, 2]` or `1 2`, or text.

    length: I; longer rows are cut to I, shorter ones (and missing values) are dropped and counted.
    Text is tokenized without special tokens.
    Raises UserError that names the row for values that are no ids, and where text meets no tokenizer.
    """
    if _is_text(values, column):
        if tokenizer is None:
            raise UserError(f"{where}: column {column!r} holds text, which needs a tokenizer: set model.tokenizer=DIR_OR_NAME")
        rows: Sequence[Any] = _tokenize(values, tokenizer)
    else:
        rows = values
    kept, positions = [], []
    for position, value in enumerate(rows):
        row = _row_of_ids(value, column, f"{where}:{position}")
        if len(row) >= length:
            origin = f"{where}:{position}"
            kept.append(whole_numbers(row[None, :length], [origin])[0])
            positions.append(position)
    ids = torch.from_numpy(np.stack(kept)) if kept else torch.empty(0, length, dtype=torch.int64)
    return TokenRows(ids, tuple(positions), len(rows) - len(kept))


def _is_text(values: Sequence[object], column: str) -> bool:
    strings = [value for value in values if isinstance(value, str)]
    if not strings or column in ID_COLUMNS:
        return False
    return column in TEXT_COLUMNS or not all(_NUMBERS_ONLY.fullmatch(text) for text in strings)


def _tokenize(values: Sequence[object], tokenizer: Tokenizer) -> list[list[int]]:
    texts = ["" if value is None else str(value) for value in values]
    # No truncation by the tokenizer: some cut on the left. verbose=False: texts longer than the model's context are no mistake.
    return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []


def _row_of_ids(value: object, column: str, origin: str) -> np.ndarray:
    """One row as a numeric vector; None and blanks are empty rows."""
    if value is None:
        return np.empty(0)
    try:
        pieces = re.sub(r"[\[\](),]", " ", value).split() if isinstance(value, str) else value
        row = np.asarray(pieces, dtype=np.float64 if isinstance(value, str) else None)
    except (TypeError, ValueError):
        row = np.empty((0, 0))
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iuf"):
        raise UserError(f"{origin}: column {column!r} holds {str(value)[:40]!r}, which is neither text nor a list of token ids")
    return row
