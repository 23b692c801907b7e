"""Paragraph files: by their suffix to a ParagraphSet."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.array_files import ARRAYS, ShapeCheck, check_array, existing_file, read_array
from memunlearn.paragraphs.beginnings import Bos, Tokenizer, beginning_of, recognize
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.table_files import open_column
from memunlearn.paragraphs.token_rows import TokenRows, token_rows, whole_numbers

PathOrPair = str | PathLike[str] | Mapping[str, str | PathLike[str]]
"""A file, or `{prefix: A.npy, continuation: B.npy}` with rows aligned."""

_TABLES = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class ReadResult:
    """paragraphs [N, I] and how many rows were dropped because they had fewer than I tokens.

    beginning: of text, one line that says what stands in front of it; None for ids.
    """

    paragraphs: ParagraphSet
    dropped: int
    beginning: str | None = None


def read_paragraphs(
    path: PathOrPair,
    prefix_length: int,
    continuation_length: int,
    *,
    tokenizer: Tokenizer | None = None,
    column: str | None = None,
    bos: Bos = "auto",
) -> ReadResult:
    """Reads `.pt`, `.npy` ([N, I] ids), `.csv`, `.jsonl`, `.parquet` (a column of ids or of text), or a pair of matrices.

    prefix_length, continuation_length: P and C, tokens; I = P + C.
    tokenizer: needed for a column of text only.
    column: None takes the obvious one (`ids`, `input_ids`, `tokens`, `paragraph`, `text`, or the only one).
    bos: what stands in front of text, see `beginning_of`; it counts as part of the prefix. Ids are taken as they are.
    Origins are `name.pt:17`, the row number in the source from 0, whatever was dropped before it.
    Raises UserError for everything that can be wrong with such a file.
    """
    _check_lengths(prefix_length, continuation_length)
    beginning = None if tokenizer is None else beginning_of(tokenizer, bos)
    if isinstance(path, Mapping):
        read = _read_pair(path, prefix_length, continuation_length)
        name = "+".join(Path(str(part)).name for part in path.values())
    else:
        file = existing_file(path, ARRAYS + _TABLES)
        name = file.name
        if file.suffix not in ARRAYS:
            rows = token_rows(open_column(file, column), prefix_length + continuation_length, tokenizer, beginning, name)
            read = keep_long_enough(rows, prefix_length, name)
            if beginning is not None and not rows.is_text:
                read = recognize(read, beginning, name)
            return ReadResult(read, rows.dropped, beginning.why if beginning is not None and rows.is_text else None)
        check = _shape_check(
            file, prefix_length + continuation_length, "paragraphs.prefix_length and paragraphs.continuation_length"
        )
        ids = _read_matrix(file, check)
        read = ParagraphSet(ids, prefix_length, _origins(name, len(ids)))
    return ReadResult(read if beginning is None else recognize(read, beginning, name), 0)


def check_file(path: PathOrPair, prefix_length: int, continuation_length: int, column: str | None = None) -> None:
    """Raises UserError as `read_paragraphs` would, as far as that can be told without a tokenizer and without reading rows."""
    _check_lengths(prefix_length, continuation_length)
    if isinstance(path, Mapping):
        for file, width, settings in _halves(path, prefix_length, continuation_length):
            check_array(file, _shape_check(file, width, settings))
        return
    file = existing_file(path, ARRAYS + _TABLES)
    if file.suffix not in ARRAYS:
        open_column(file, column)
        return
    both = "paragraphs.prefix_length and paragraphs.continuation_length"
    check_array(file, _shape_check(file, prefix_length + continuation_length, both))


def keep_long_enough(rows: TokenRows, prefix_length: int, where: str) -> ParagraphSet:
    """The rows that remained, as a set; says on stderr how many were too short, and how many were cut.

    Raises UserError if none remained.
    """
    count, length = rows.ids.shape
    if not count and not rows.dropped:
        raise UserError(f"{where}: has no rows: give a file with at least one paragraph")
    if not count:
        raise UserError(
            f"{where}: none of its {rows.dropped} rows has {length} tokens: "
            "give longer texts, or set paragraphs.prefix_length and paragraphs.continuation_length"
        )
    if rows.dropped:
        print(f"{where}: {rows.dropped} of {rows.dropped + count} rows dropped: fewer than {length} tokens", file=sys.stderr)
    if rows.cut:
        print(f"{where}: {rows.cut} of {count} rows cut to their first {length} tokens", file=sys.stderr)
    origins = tuple(f"{where}:{position}" for position in rows.positions)
    return ParagraphSet(rows.ids, prefix_length, origins, min(rows.text_start, prefix_length))


def _check_lengths(prefix_length: int, continuation_length: int) -> None:
    if min(prefix_length, continuation_length) < 1:
        raise UserError(
            f"a paragraph needs at least one token on each side: paragraphs.prefix_length={prefix_length}, "
            f"paragraphs.continuation_length={continuation_length}"
        )


def _halves(
    pair: Mapping[str, str | PathLike[str]], prefix_length: int, continuation_length: int
) -> Iterator[tuple[Path, int, str]]:
    """File, width and the setting of that width, of each of the two."""
    if set(pair) != {"prefix", "continuation"}:
        raise UserError(
            f"a pair of files has the keys prefix and continuation, not {', '.join(map(str, pair)) or 'none'}: "
            "write '{prefix: A.npy, continuation: B.npy}', in quotes"
        )
    for key, width in (("prefix", prefix_length), ("continuation", continuation_length)):
        file = existing_file(pair[key], ARRAYS + _TABLES)
        if file.suffix not in ARRAYS:
            raise UserError(
                f"{file}: a pair is made of {' or '.join(ARRAYS)} files: give one file with whole paragraphs instead"
            )
        yield file, width, f"paragraphs.{key}_length"


def _read_pair(pair: Mapping[str, str | PathLike[str]], prefix_length: int, continuation_length: int) -> ParagraphSet:
    halves, files = [], []
    for file, width, settings in _halves(pair, prefix_length, continuation_length):
        halves.append(_read_matrix(file, _shape_check(file, width, settings)))
        files.append(file)
    if len(halves[0]) != len(halves[1]):
        raise UserError(
            f"{files[0]} has {len(halves[0])} rows, {files[1]} has {len(halves[1])}: row i of both must be one paragraph"
        )
    origins = _origins(f"{files[0].name}+{files[1].name}", len(halves[0]))
    return ParagraphSet(torch.cat(halves, dim=1), prefix_length, origins)


def _read_matrix(file: Path, check: ShapeCheck) -> Tensor:
    """[N, W] int64 of a .pt or .npy file, never running code that is in it."""
    values = read_array(file, check)
    return torch.from_numpy(whole_numbers(values, _origins(file.name, len(values))))


def _shape_check(file: Path, width: int, settings: str) -> ShapeCheck:
    def check(shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise UserError(f"{file}: has the shape {list(shape)}: paragraphs are a matrix [N, I], one row each")
        if shape[1] != width:
            bos = (
                " (if column 0 is a BOS token: save the rest for a model that was trained without it, or set "
                "paragraphs.prefix_length one higher, since it counts as part of the prefix)"
            )
            raise UserError(
                f"{file}: rows have {shape[1]} tokens, {width} were expected{bos if shape[1] == width + 1 else ''}: "
                f"change the file, or set {settings}"
            )
        if not shape[0]:
            raise UserError(f"{file}: has no rows: give a file with at least one paragraph")

    return check


def _origins(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}:{row}" for row in range(count))
