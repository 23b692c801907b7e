"""Tables with a header line and a sign between columns (csv, tsv): commas, semicolons, tabs or bars, as the header has them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paragraphs.columns import ID_COLUMNS, LONGEST_LINE, TEXT_COLUMNS, Column, Row, choose_column
from memunlearn.paragraphs.given_files import kind_of
from memunlearn.paragraphs.lines import lines
from memunlearn.paragraphs.unpacking import not_utf8, open_text

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def delimited_column(path: Path, where: str, wanted: str | None) -> Column:
    """The chosen column of a table. Raises UserError for one that is not there, and while it is read for damaged rows."""
    separator = _separator(path, wanted)
    header = next(_rows(path, separator), (1, []))[1]
    name = choose_column(header, wanted, path.name)
    place = header.index(name)
    once = [other for other, title in enumerate(header) if other != place and header.count(title) == 1]

    def rows() -> Iterator[Row]:
        found = _rows(path, separator)
        next(found, None)
        for line, row in found:
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{path}: line {line} has {len(row)} fields, the header has {len(header)}: "
                    f"put quotes around fields with {SEPARATORS[separator]}"
                )
            yield Row(line, row[place], {header[other]: row[other] for other in once})

    return Column(where=where, name=name, names=tuple(header), rows=rows)


def _separator(path: Path, wanted: str | None) -> str:
    """The sign with which the header has the column that is looked for, else the one with which it has most columns."""
    if kind_of(path) == ".tsv":
        return "\t"
    looked_for = {str(wanted)} if wanted is not None else {*ID_COLUMNS, *TEXT_COLUMNS}
    best, most = ",", (False, 0)
    for separator in SEPARATORS:
        try:
            header = next(_rows(path, separator), (1, []))[1]
        except UserError:
            continue  # the quotes close with another sign, or with none; then the comma's error is told
        if (found := (not looked_for.isdisjoint(header), len(header))) > most:
            best, most = separator, found
    return best


def _rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The number of the line on which a row ends, and its fields."""
    # The csv module refuses fields over 128 KiB unless told; whole documents are longer than that.
    csv.field_size_limit(LONGEST_LINE)
    line = 0
    try:
        with open_text(path) as file:
            rows = csv.reader((text for _, text in lines(path, file)), strict=True, delimiter=separator)
            for row in rows:
                line = rows.line_num
                yield line, row
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except csv.Error as error:
        if "field larger" in str(error):
            raise UserError(
                f"{path}: after line {line} a field is longer than {LONGEST_LINE:,} characters: write a paragraph or document "
                "a row, and close its quotes"
            ) from error
        raise UserError(
            f"{path}: is not a table in text (line {line + 1} or after: {error}): save it again as csv, with a header line"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from error
