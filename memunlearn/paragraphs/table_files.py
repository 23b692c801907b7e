"""One column of a csv, jsonl or parquet file, a row at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from memunlearn.errors import UserError
from memunlearn.paragraphs.columns import ID_COLUMNS, LONGEST_LINE, Column, Value, choose_column
from memunlearn.paragraphs.parquet_files import parquet_column


def open_column(path: Path, wanted: str | None) -> Column:
    """The chosen column (see `choose_column`).

    Raises UserError for a column that is not there and for a file that is not what its suffix says, here or while it is read.
    """
    reader = {".csv": _csv_column, ".jsonl": _jsonl_column, ".parquet": parquet_column}[path.suffix]
    return reader(path, wanted)


def _csv_column(path: Path, wanted: str | None) -> Column:
    header = next(_csv_rows(path), (1, []))[1]
    if len(header) == 1 and (other := next((one for one in (";", "\t", "|") if one in header[0]), None)):
        called = {";": "semicolons", "\t": "tabs", "|": "bars"}[other]
        raise UserError(f"{path}: its first line has {called} and no comma: save it with commas between the columns")
    name = choose_column(header, wanted, path.name)
    place = header.index(name)

    def values() -> Iterator[Value]:
        rows = _csv_rows(path)
        next(rows, None)
        for line, row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{path}: line {line} has {len(row)} fields, the header has {len(header)}: "
                    "put quotes around fields with commas"
                )
            yield line, row[place]

    return Column(name, tuple(header), values)


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the line on which a row ends, and its fields."""
    # The csv module refuses fields over 128 KiB unless told; whole documents are longer than that.
    csv.field_size_limit(LONGEST_LINE)
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader((text for _, text in _lines(path, file)), strict=True)
            for row in rows:
                line = rows.line_num
                yield line, row
    except (csv.Error, UnicodeDecodeError) as error:
        if "field larger" in str(error):
            raise UserError(
                f"{path}: after line {line} a field is longer than {LONGEST_LINE:,} characters: write one paragraph or "
                "document a row, and close its quotes"
            ) from error
        raise UserError(
            f"{path}: is not a csv file in UTF-8 (line {line + 1} or after: {error}): save it again, with a header line"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _jsonl_column(path: Path, wanted: str | None) -> Column:
    first = ID_COLUMNS[0] if wanted is None else str(wanted)
    names: dict[str, None] = {}
    rows = 0
    for _, row in _json_rows(path):
        rows += 1
        names |= dict.fromkeys(row)
        if first in names:
            break  # nothing that comes after could be preferred to it
    if not rows:
        raise UserError(f"{path}: has no rows: give a file with at least one paragraph")
    name = choose_column(list(names), wanted, path.name)

    def values() -> Iterator[Value]:
        return ((line, row.get(name)) for line, row in _json_rows(path))

    return Column(name, tuple(names), values)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in _lines(path, file):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UserError(
                        f'{path}: line {number} is not an object: each line must be one, such as {{"{ID_COLUMNS[0]}": [1, 2]}}'
                    )
                yield number, row
    except RecursionError as error:
        raise UserError(f"{path}: line {number} is nested too deeply: write one flat object a line") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not JSON lines (line {number + 1} or after: {error}): write it again in UTF-8") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: line {number} is not JSON ({error.msg} at character {error.colno}): write one object a line, in UTF-8"
        ) from error
    except ValueError as error:  # a number of more digits than Python reads
        raise UserError(f"{path}: line {number} is not JSON ({error}): write one object a line, in UTF-8") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _lines(path: Path, file: TextIO) -> Iterator[tuple[int, str]]:
    """Numbered from 1. Raises UserError for a line that is too long to be held."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise UserError(
                f"{path}: line {number} is longer than {LONGEST_LINE:,} characters: write one paragraph or document a line"
            )
        yield number, line


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions")
