"""From what a file or a data set holds (numbers, lists, strings, text) to int64 token ids, checked row by row."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Beginning, Tokenizer
from memunlearn.paragraphs.columns import ID_COLUMNS, TEXT_COLUMNS, Column, Value, another_column
from memunlearn.paragraphs.first_tokens import first_tokens

_NUMBERS_ONLY = re.compile(r"[\s\[\](),.+\-]*\d[\d\s\[\](),.+\-]*")
# Texts are tokenized together up to this many rows and characters.
_BATCH_ROWS = 256
_BATCH_CHARACTERS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Rows that were long enough.

    ids: [n, I] int64, the first I tokens of each. is_text: whether they were tokenized here; then text_start of the I tokens
    stand in front of the text (BOS).
    positions: n row numbers in the source, from 0.
    dropped: how many rows had fewer than I tokens. cut: how many of the n had more.
    """

    ids: Tensor
    is_text: bool
    text_start: int
    positions: tuple[int, ...]
    dropped: int
    cut: int


@dataclass(frozen=True)
class _Row:
    """A row of the source that is long enough, or None in its place; position from 0."""

    position: int
    ids: np.ndarray | None
    cut: bool


class _IsText(Exception):
    """Strings that were taken for ids are text: one came that is more than numbers."""


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


def token_rows(column: Column, length: int, tokenizer: Tokenizer | None, beginning: Beginning | None, where: str) -> TokenRows:
    """The values of one column, a row each: lists of ids, ids written as `[1, 2]` or `1 2`, or text.

    length: I; longer rows are cut to I, shorter ones (and missing values) are dropped and counted. The first value decides
    whether the column holds text. beginning: what stands in front of text (needed with a tokenizer); a text that begins with
    it already gets no second one. Ids are taken as they are.
    Raises UserError that names the row for values that are neither, and where text meets no tokenizer.
    """
    values = column.values()
    seen: list[Value] = []
    for value in values:
        seen.append(value)
        if value[1] is not None:
            break
    first = seen[-1][1] if seen else None
    is_text = isinstance(first, str) and column.name not in ID_COLUMNS
    is_text &= column.name in TEXT_COLUMNS or not _NUMBERS_ONLY.fullmatch(str(first))
    try:
        return _collect(
            chain(seen, values), column, length, tokenizer=tokenizer, beginning=beginning, where=where, is_text=is_text
        )
    except _IsText:
        return _collect(column.values(), column, length, tokenizer=tokenizer, beginning=beginning, where=where, is_text=True)


def _collect(
    values: Iterable[Value],
    column: Column,
    length: int,
    *,
    tokenizer: Tokenizer | None,
    beginning: Beginning | None,
    where: str,
    is_text: bool,
) -> TokenRows:
    if is_text:
        if tokenizer is None or beginning is None:
            raise UserError(
                f"{where}: column {column.name!r} holds text, which needs a tokenizer: set model.tokenizer=DIR_OR_NAME"
            )
        rows = _text_rows(_batches(values, column, where), length, tokenizer, beginning.ids, where)
    else:
        rows = _id_rows(values, column, length, where)
    kept, positions, dropped, cut = [], [], 0, 0
    for row in rows:
        if row.ids is None:
            dropped += 1
            continue
        kept.append(row.ids)
        positions.append(row.position)
        cut += row.cut
    ids = torch.from_numpy(np.stack(kept)) if kept else torch.empty(0, length, dtype=torch.int64)
    return TokenRows(
        ids=ids,
        is_text=is_text,
        text_start=len(beginning.ids) if is_text and beginning else 0,
        positions=tuple(positions),
        dropped=dropped,
        cut=cut,
    )


def _text_rows(
    batches: Iterable[list[str]], length: int, tokenizer: Tokenizer, before: tuple[int, ...], where: str
) -> Iterator[_Row]:
    position = 0
    for batch in batches:
        origins = [f"{where}:{position + number}" for number in range(len(batch))]
        for tokens, more in first_tokens(batch, length, tokenizer, origins):
            full = tokens if tuple(tokens[: len(before)]) == before else [*before, *tokens]
            ids = np.array(full[:length], dtype=np.int64) if len(full) >= length else None
            yield _Row(position, ids, more or len(full) > length)
            position += 1


def _batches(values: Iterable[Value], column: Column, where: str) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for position, (line, value) in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise UserError(
                f"{_origin(where, position, line)}: column {column.name!r} holds {_called(value)}, not text: "
                f"mend or remove the row, or {another_column(column.name, column.names)}"
            )
        batch.append(value or "")
        characters += len(value or "")
        if len(batch) == _BATCH_ROWS or characters > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _id_rows(values: Iterable[Value], column: Column, length: int, where: str) -> Iterator[_Row]:
    for position, (line, value) in enumerate(values):
        if isinstance(value, str) and column.name not in ID_COLUMNS and not _NUMBERS_ONLY.fullmatch(value) and value.strip():
            raise _IsText
        origin = _origin(where, position, line)
        row, more = _row_of_ids(value, column, length, origin)
        ids = whole_numbers(row[None, :], [origin])[0] if len(row) == length else None
        yield _Row(position, ids, more)


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
            f"{origin}: column {column.name!r} holds {_called(value)}, which is neither text nor a list of token ids: "
            f"mend the row, or {another_column(column.name, column.names)}"
        )
    return row, len(pieces) > length


def _origin(where: str, position: int, line: int | None) -> str:
    return f"{where}:{position}" if line is None else f"{where}:{position} (line {line})"


def _called(value: object) -> str:
    """A value in words: what it is, and how it begins."""
    kinds = {dict: "an object", list: "a list", bool: "a switch", int: "a number", float: "a number", str: "the text"}
    shown = value[:40] if isinstance(value, str) else reprlib.repr(value)[:40]
    return f"{kinds.get(type(value), f'a {type(value).__name__}')} ({shown})"
