"""From what a file or a data set holds (numbers, lists, numbers written out) to int64 token ids, checked row by row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from memunlearn.errors import UserError
from memunlearn.paragraphs.columns import Column, Row, another_column
from memunlearn.paragraphs.texts import called
from memunlearn.paragraphs.token_rows import TokenRow, TokenRows, collect


def id_rows(column: Column, rows: Iterable[Row], length: int) -> TokenRows:
    """Rows of a column of ids: lists of them, or written as `[1, 2]` or `1 2`; missing values are empty.

    length: I. Ids are taken as they are. Raises UserError that names the row for values that are no ids.
    """
    return collect(_id_rows(column, rows, length), length)


def whole_numbers(values: np.ndarray, origins: Sequence[str]) -> np.ndarray:
    """values [N, W] of any integer type, or of floats that are integers, as int64 [N, W].

    Raises UserError that names the row (one of the N origins) for NaN, infinity, fractions, negative numbers and numbers beyond
    int64, and for arrays of anything but numbers.
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
    if (values < 0).any():
        row, place = np.argwhere(values < 0)[0]
        raise UserError(f"{origins[row]}: token id {values[row, place]:.0f} is negative: ids must be 0 or more")
    return values.astype(np.int64)


def _id_rows(column: Column, rows: Iterable[Row], length: int) -> Iterator[TokenRow]:
    for position, row in enumerate(rows):
        name = column.origin(position)
        origin = name if row.line is None else f"{name} (line {row.line})"
        numbers, more = _row_of_ids(row.value, column, length, origin)
        ids = whole_numbers(numbers[None, :], [origin])[0] if len(numbers) == length else None
        yield TokenRow(name, ids, more)


def _row_of_ids(value: object, column: Column, length: int, origin: str) -> tuple[np.ndarray, bool]:
    """The first `length` numbers of one row, and whether there are more; None and blanks are empty rows."""
    if value is None:
        return np.empty(0), False
    try:
        pieces: Any = re.sub(r"[\[\](),]", " ", value).split() if isinstance(value, str) else value
        some = list(islice(pieces, length)) if isinstance(pieces, list | tuple) else pieces[:length]
        row = np.asarray(some, dtype=np.float64 if isinstance(value, str) else None)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        row = np.empty((0, 0))
        some = []
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iuf"):
        if row.ndim == 1 and (nulls := [place for place, one in enumerate(some) if one is None]):
            raise UserError(
                f"{origin}: column {column.name!r} has a null (a missing value) at position {nulls[0]}: ids must be "
                "whole numbers"
            )
        raise UserError(
            f"{origin}: column {column.name!r} holds {called(value)}, which is neither text nor a list of token ids: "
            f"mend the row, or {another_column(column.name, column.names)}"
        )
    return row, len(pieces) > length
