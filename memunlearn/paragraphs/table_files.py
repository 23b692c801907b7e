"""One column of a csv, jsonl or parquet file, as plain Python values."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paragraphs.token_rows import choose_column


def read_column(path: Path, wanted: str | None) -> tuple[str, list[object]]:
    """The name of the chosen column (see `choose_column`) and its values, a row each; missing values are None.

    Raises UserError for a column that is not there and for a file that is not what its suffix says.
    """
    reader = {".csv": _csv_column, ".jsonl": _jsonl_column, ".parquet": _parquet_column}[path.suffix]
    return reader(path, wanted)


def _csv_column(path: Path, wanted: str | None) -> tuple[str, list[object]]:
    # The csv module refuses fields over 128 KiB unless told; whole documents are longer than that.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    values: list[object] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            place = header.index(column := choose_column(header, wanted, path.name))
            for row in lines:
                if not row:
                    continue
                if len(row) != len(header):
                    raise UserError(
                        f"{path}: line {lines.line_num} has {len(row)} fields, the header has {len(header)}: "
                        "put quotes around fields with commas"
                    )
                values.append(row[place])
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not a csv file in UTF-8 ({error}): save it again, with a header line") from error
    return column, values


def _jsonl_column(path: Path, wanted: str | None) -> tuple[str, list[object]]:
    rows: list[dict[str, object]] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UserError(f'{path}: line {number} is not an object: each line must be one, such as {{"ids": [1, 2]}}')
                rows.append(row)
    except ValueError as error:
        raise UserError(f"{path}: is not JSON lines ({error}): write one object a line, in UTF-8") from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    column = choose_column(names, wanted, path.name) if rows else ""
    return column, [row.get(column) for row in rows]


def _parquet_column(path: Path, wanted: str | None) -> tuple[str, list[object]]:
    import pyarrow
    import pyarrow.parquet

    try:
        column = choose_column(pyarrow.parquet.read_schema(path).names, wanted, path.name)
        return column, pyarrow.parquet.read_table(path, columns=[column]).column(column).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: is not a parquet file that can be read ({error}): write it again") from error
