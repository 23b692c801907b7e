"""By a file's kind to the column that is read of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paragraphs.columns import LONGEST_LINE, TEXT_COLUMNS, Column, Row
from memunlearn.paragraphs.delimited_files import delimited_column
from memunlearn.paragraphs.given_files import WHOLE_TEXTS, GivenFile
from memunlearn.paragraphs.json_files import json_column, jsonl_column
from memunlearn.paragraphs.parquet_files import parquet_column
from memunlearn.paragraphs.unpacking import not_utf8, open_text

_TABLES: dict[str, Callable[[Path, str, str | None], Column]] = {
    ".csv": delimited_column,
    ".tsv": delimited_column,
    ".jsonl": jsonl_column,
    ".json": json_column,
    ".parquet": parquet_column,
}


def open_column(file: GivenFile, wanted: str | None) -> Column:
    """The chosen column of a table (see `choose_column`); a file that is one text is a column of one row.

    Raises UserError for a column that is not there and for a file that is not what its suffix says, here or while it is read.
    """
    if file.kind not in WHOLE_TEXTS:
        return _TABLES[file.kind](file.path, file.name, wanted)
    _content(file.path)

    def rows() -> Iterator[Row]:
        yield Row(None, _content(file.path))

    name = TEXT_COLUMNS[-1]
    return Column(where=file.name, name=name, names=(name,), rows=rows, is_whole=True)


def _content(path: Path) -> str:
    """All of a text, line ends as they are. Raises UserError for more than LONGEST_LINE characters."""
    try:
        with open_text(path) as file:
            content = file.read(LONGEST_LINE + 1)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from error
    if len(content) > LONGEST_LINE:
        raise UserError(f"{path}: is longer than {LONGEST_LINE:,} characters: write it as several texts")
    return content
