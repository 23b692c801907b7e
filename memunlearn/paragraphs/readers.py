"""Paragraph files: by their suffix to a ParagraphSet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.array_files import ShapeCheck, check_array, read_array
from memunlearn.paragraphs.beginnings import Beginning, Bos, Tokenizer, beginning_of, recognize
from memunlearn.paragraphs.columns import Column, text_or_ids
from memunlearn.paragraphs.given_files import ARRAYS, GivenFile, Paths, existing_file, given_files, names_in_short
from memunlearn.paragraphs.id_rows import id_rows, whole_numbers
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.table_files import open_column
from memunlearn.paragraphs.text_rows import text_rows, token_texts
from memunlearn.paragraphs.texts import texts_of
from memunlearn.paragraphs.token_rows import TokenRows
from memunlearn.paragraphs.token_texts import TokenText
from memunlearn.paragraphs.windows import Cutting
from memunlearn.progress import track

PathOrPair = Paths | Mapping[str, str | PathLike[str]]
"""Files and folders, or `{prefix: A.npy, continuation: B.npy}` with rows aligned."""

_LENGTHS = "paragraphs.prefix_length and paragraphs.continuation_length"


@dataclass(frozen=True, kw_only=True)
class ReadResult:
    """paragraphs [N, I] and how many rows or texts were dropped because they had too few tokens.

    beginning: of text, one line that says what stands in front of it; None for ids. before: those tokens.
    too_short: what the first of the dropped rows are called. texts: all of them, where the set is `forget`; the rows that have
    no place are not theirs.
    """

    paragraphs: ParagraphSet
    dropped: int
    beginning: str | None = None
    too_short: tuple[str, ...] = ()
    before: tuple[int, ...] = ()
    texts: tuple[TokenText, ...] = ()


def read_paragraphs(
    given: PathOrPair,
    prefix_length: int,
    continuation_length: int,
    *,
    tokenizer: Tokenizer | None = None,
    column: str | None = None,
    bos: Bos = "auto",
    cutting: Cutting | None = None,
) -> ReadResult:
    """Reads a file, a folder or a list of them, rows of ids before texts; or a pair of matrices.

    Ids: `.pt`, `.npy` ([N, I]). Ids or texts, a column: `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet`. One text: `.txt`, `.md`.
    All but the first two also `.gz` or `.zst`.
    prefix_length, continuation_length: P and C, tokens; I = P + C.
    tokenizer: needed for text only.
    column: None takes the obvious one (`ids`, `input_ids`, `tokens`, `paragraph`, `text`, or the only one).
    bos: what stands in front of text, see `beginning_of`; it counts as part of the prefix. Ids are taken as they are.
    cutting: of text into windows; None takes the first I tokens of each text. Rows of ids are cut to their first I.
    Origins of ids are `name.pt:17`, the row number in the source from 0, whatever was dropped before it; those of texts are
    the texts' names, and where there are several windows of a text `name@54`, the token with which a continuation begins.
    Raises UserError for everything that can be wrong with such files.
    """
    check_row_lengths(prefix_length, continuation_length)
    beginning = None if tokenizer is None else beginning_of(tokenizer, bos)
    if isinstance(given, Mapping):
        read = _read_pair(given, prefix_length, continuation_length)
        name = "+".join(Path(str(part)).name for part in given.values())
        return ReadResult(paragraphs=read if beginning is None else recognize(read, beginning, name), dropped=0)
    files = given_files(given)
    if files.left_out:
        print(f"left out, as no paragraphs: {names_in_short(files.left_out)}", file=sys.stderr)
    length = prefix_length + continuation_length
    parts: list[TokenRows] = []
    texts: list[Column] = []
    for file in files.files:
        if file.kind in ARRAYS:
            parts.append(_matrix_rows(file, length))
            continue
        opened = open_column(file, column)
        is_text, rows = text_or_ids(opened)
        if is_text:
            texts.append(opened)
        else:
            parts.append(id_rows(opened, rows, length))
    where = names_in_short([file.name for file in files.files], most=3)
    if not texts:
        return keep_long_enough(parts, prefix_length, where, beginning)
    asked = cutting or first_window(prefix_length)
    # Once more for their number: a text is not held for that.
    number = sum(1 for each in texts for _ in each.rows()) if asked.is_bounded else 1
    windows = asked.windows(prefix_length, continuation_length, max(1, number))
    known, start = with_tokenizer(texts[0], tokenizer, beginning)
    count = windows.tokens_read(len(start.ids))
    tokens: Iterable[tuple[TokenText, bool]] = token_texts(
        texts_of((each, None) for each in track(texts, "reading texts")), count, known, start, asked.source
    )
    kept: list[TokenText] = []
    if asked.source == "forget":
        tokens = list(tokens)
        kept = [text for text, _ in tokens]
    parts.append(text_rows(tokens, windows, start.ids))
    found = keep_long_enough(parts, prefix_length, where, beginning, allow_none=bool(kept))
    return replace(found, before=start.ids, texts=tuple(kept))


def first_window(prefix_length: int) -> Cutting:
    """The first P + C tokens of each text, and nothing of those that have fewer."""
    return Cutting("path", "first", prefix_length)


def check_file(given: PathOrPair, prefix_length: int, continuation_length: int, column: str | None = None) -> None:
    """Raises UserError as `read_paragraphs` would, as far as that can be told without a tokenizer and without reading rows."""
    check_row_lengths(prefix_length, continuation_length)
    if isinstance(given, Mapping):
        for path, width, settings in _halves(given, prefix_length, continuation_length):
            check_array(path, _shape_check(path, width, settings))
        return
    for file in given_files(given).files:
        if file.kind in ARRAYS:
            check_array(file.path, _shape_check(file.path, prefix_length + continuation_length, _LENGTHS))
        else:
            open_column(file, column)


def keep_long_enough(
    parts: Sequence[TokenRows], prefix_length: int, where: str, beginning: Beginning | None, *, allow_none: bool = False
) -> ReadResult:
    """The rows that remained, as a set; says on stderr which were too short, and how many were cut.

    beginning: what a tokenizer puts in front of text, which rows of ids may have, too.
    Raises UserError if none remained, unless that is allowed.
    """
    count, dropped = sum(part.long_enough for part in parts), sum(part.dropped for part in parts)
    short = tuple(name for part in parts for name in part.short)
    if not count and not dropped:
        raise UserError(f"{where}: has no rows: give a file with at least one paragraph")
    if not count and not allow_none:
        needed = min(part.needed for part in parts)
        raise UserError(
            f"{where}: none of its {dropped} rows has {needed} tokens ({names_in_short(short, dropped)}): give longer texts, "
            f"or set {_LENGTHS}"
        )
    sets = []
    for part in parts:
        what = "texts" if part.is_text else "rows"
        if part.dropped:
            named = names_in_short(part.short, part.dropped)
            whole = part.dropped + part.long_enough
            print(
                f"{where}: {part.dropped} of {whole} {what} dropped: fewer than {part.needed} tokens: {named}", file=sys.stderr
            )
        if part.cut:
            longer = part.read is not None and part.read > part.ids.shape[1]
            advice = " (paragraphs.max_windows says how much is read)" if longer else ""
            print(
                f"{where}: {part.cut} of {part.long_enough} {what} cut to their first {part.read} tokens{advice}",
                file=sys.stderr,
            )
        rows = ParagraphSet(part.ids, prefix_length, part.names, min(part.text_start, prefix_length), part.places)
        sets.append(recognize(rows, beginning, where) if beginning is not None and not part.is_text else rows)
    is_text = any(part.is_text for part in parts)
    why = beginning.why if beginning is not None and is_text else None
    filled = [rows for rows in sets if len(rows)] or sets[:1]
    return ReadResult(paragraphs=concatenate(filled), dropped=dropped, beginning=why, too_short=short)


class NeedsTokenizer(UserError):
    """Text was given, and no tokenizer."""


def with_tokenizer(column: Column, tokenizer: Tokenizer | None, beginning: Beginning | None) -> tuple[Tokenizer, Beginning]:
    if tokenizer is None or beginning is None:
        what = "is text" if column.is_whole else f"column {column.name!r} holds text"
        raise NeedsTokenizer(f"{column.where}: {what}, which needs a tokenizer: set model.tokenizer=DIR_OR_NAME")
    return tokenizer, beginning


def _matrix_rows(file: GivenFile, length: int) -> TokenRows:
    ids = _read_matrix(file.path, _shape_check(file.path, length, _LENGTHS))
    return TokenRows(
        ids=ids, is_text=False, names=_origins(file.name, len(ids)), long_enough=len(ids), needed=length, read=length
    )


def check_row_lengths(prefix_length: int, continuation_length: int) -> None:
    """Raises UserError for lengths that make no row."""
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
        file = existing_file(pair[key])
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
