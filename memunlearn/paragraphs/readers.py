"""Paragraph files: by their suffix to a ParagraphSet."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.array_files import ARRAYS, existing_file, read_array
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.table_files import read_column
from memunlearn.paragraphs.token_rows import Tokenizer, token_rows, whole_numbers

PathOrPair = str | PathLike[str] | Mapping[str, str | PathLike[str]]
"""A file, or `{prefix: A.npy, continuation: B.npy}` with rows aligned."""

_TABLES = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class ReadResult:
    """paragraphs [N, I] and how many rows were dropped because they had fewer than I tokens."""

    paragraphs: ParagraphSet
    dropped: int


def read_paragraphs(
    path: PathOrPair,
    prefix_length: int,
    continuation_length: int,
    tokenizer: Tokenizer | None = None,
    column: str | None = None,
) -> ReadResult:
    """Reads `.pt`, `.npy` ([N, I] ids), `.csv`, `.jsonl`, `.parquet` (a column of ids or of text), or a pair of matrices.

    prefix_length, continuation_length: P and C, tokens; I = P + C.
    tokenizer: needed for a column of text only.
    column: None takes the obvious one (`ids`, `input_ids`, `tokens`, `paragraph`, `text`, or the only one).
    Origins are `name.pt:17`, the row number in the source from 0, whatever was dropped before it.
    Raises UserError for everything that can be wrong with such a file.
    """
    length = prefix_length + continuation_length
    if min(prefix_length, continuation_length) < 1:
        raise UserError(
            f"a paragraph needs at least one token on each side: paragraphs.prefix_length={prefix_length}, "
            f"paragraphs.continuation_length={continuation_length}"
        )
    if isinstance(path, Mapping):
        return ReadResult(_read_pair(path, prefix_length, continuation_length), 0)
    file = existing_file(path, ARRAYS + _TABLES)
    if file.suffix in ARRAYS:
        ids = _read_matrix(file)
        _check_width(file, ids.shape[1], length, "paragraphs.prefix_length and paragraphs.continuation_length")
        return ReadResult(ParagraphSet(ids, prefix_length, _origins(file.name, len(ids))), 0)
    name, values = read_column(file, column)
    if not values:
        raise UserError(f"{file}: has no rows: give a file with at least one paragraph")
    rows = token_rows(values, name, length, tokenizer, file.name)
    return ReadResult(keep_long_enough(rows.ids, rows.positions, rows.dropped, prefix_length, file.name), rows.dropped)


def keep_long_enough(ids: Tensor, positions: tuple[int, ...], dropped: int, prefix_length: int, where: str) -> ParagraphSet:
    """The rows that remained, as a set; says on stderr how many were too short. Raises UserError if none remained."""
    length = ids.shape[1]
    if not len(ids):
        raise UserError(
            f"{where}: none of its {dropped} rows has {length} tokens: "
            "give longer texts, or set paragraphs.prefix_length and paragraphs.continuation_length"
        )
    if dropped:
        print(f"{where}: {dropped} of {dropped + len(ids)} rows dropped: fewer than {length} tokens", file=sys.stderr)
    return ParagraphSet(ids, prefix_length, tuple(f"{where}:{position}" for position in positions))


def _read_pair(pair: Mapping[str, str | PathLike[str]], prefix_length: int, continuation_length: int) -> ParagraphSet:
    if set(pair) != {"prefix", "continuation"}:
        raise UserError(
            f"a pair of files has the keys prefix and continuation, not {', '.join(map(str, pair)) or 'none'}: "
            "write {prefix: A.npy, continuation: B.npy}"
        )
    halves, files = [], []
    for key, width in (("prefix", prefix_length), ("continuation", continuation_length)):
        file = existing_file(pair[key], ARRAYS + _TABLES)
        if file.suffix not in ARRAYS:
            raise UserError(
                f"{file}: a pair is made of {' or '.join(ARRAYS)} files: give one file with whole paragraphs instead"
            )
        half = _read_matrix(file)
        _check_width(file, half.shape[1], width, f"paragraphs.{key}_length")
        halves.append(half)
        files.append(file)
    if len(halves[0]) != len(halves[1]):
        raise UserError(
            f"{files[0]} has {len(halves[0])} rows, {files[1]} has {len(halves[1])}: row i of both must be one paragraph"
        )
    origins = _origins(f"{files[0].name}+{files[1].name}", len(halves[0]))
    return ParagraphSet(torch.cat(halves, dim=1), prefix_length, origins)


def _read_matrix(file: Path) -> Tensor:
    """[N, W] int64 of a .pt or .npy file, never running code that is in it."""
    values = read_array(file)
    if values.ndim != 2:
        raise UserError(f"{file}: has the shape {list(values.shape)}: paragraphs are a matrix [N, I], one row each")
    if not len(values):
        raise UserError(f"{file}: has no rows: give a file with at least one paragraph")
    return torch.from_numpy(whole_numbers(values, _origins(file.name, len(values))))


def _check_width(file: Path, width: int, expected: int, settings: str) -> None:
    if width != expected:
        bos = " (if column 0 is a BOS token, save the rest)" if width == expected + 1 else ""
        raise UserError(f"{file}: rows have {width} tokens, {expected} were expected{bos}: change the file, or set {settings}")


def _origins(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}:{row}" for row in range(count))
