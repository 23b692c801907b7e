"""Texts as a person has them: each with its name, its content and what else stands beside it."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memunlearn.errors import UserError
from memunlearn.paragraphs.columns import Column, Row, another_column
from memunlearn.paragraphs.given_files import GivenFile
from memunlearn.paragraphs.table_files import open_column

NAME_COLUMNS = ("name", "title", "file", "path", "id", "url", "source")
"""A text is called by the first of these columns (whatever its capitals) that holds something."""
LONGEST_NAME = 200
LONGEST_VALUE = 1000


@dataclass(frozen=True)
class Text:
    """name: what it is called, unlike any other of its set: by one of NAME_COLUMNS, else `corpus.jsonl:17` (the row, from 0);
    a file that is one text by its path within the folder that was given.
    content: all of it. columns: what its row holds beside it, numbers and truth values written out, at most LONGEST_VALUE
    characters of each.
    """

    name: str
    content: str
    columns: Mapping[str, str]


def read_texts(files: Sequence[GivenFile], column: str | None = None) -> Iterator[Text]:
    """The texts of these files, one after the other, no more than one held at a time.

    column: of tables; None takes the obvious one (see `choose_column`). A missing value is an empty text.
    Raises UserError that names the file, and where it can the row, for whatever is no text.
    """
    return texts_of((open_column(file, column), None) for file in files)


def texts_of(columns: Iterable[tuple[Column, Iterator[Row] | None]]) -> Iterator[Text]:
    """The texts of columns of text, and of rows of them where these are begun already."""
    taken: set[str] = set()
    places: set[str] = set()
    for column, begun in columns:
        places.add(column.where)
        for position, row in enumerate(column.rows() if begun is None else begun):
            origin = column.origin(position)
            own = _name(row.others)
            name = own or origin
            while name in taken or (name == own and _like_an_origin(name, places)):
                name = f"{name} ({origin})"
            if own is not None:
                taken.add(name)
            yield Text(name, _content(column, row, origin), _columns(row.others))


def _name(others: Mapping[str, object]) -> str | None:
    called = {title.strip().lower(): value for title, value in reversed(list(others.items()))}
    for title in NAME_COLUMNS:
        if name := " ".join((_written(called.get(title)) or "").split()):
            return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return None


def _like_an_origin(name: str, places: set[str]) -> bool:
    """Whether a row without a name may be called so."""
    where, _, position = name.rpartition(":")
    return name in places or (where in places and position.isdecimal())


def _content(column: Column, row: Row, origin: str) -> str:
    if row.value is None:
        return ""
    where = origin if row.line is None else f"{origin} (line {row.line})"
    if not isinstance(row.value, str):
        raise UserError(
            f"{where}: column {column.name!r} holds {called(row.value)}, not text: "
            f"mend or remove the row, or {another_column(column.name, column.names)}"
        )
    try:
        row.value.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: holds half of a surrogate pair at character {error.start}, which is no text: write the row again"
        ) from error
    return row.value


def _columns(others: Mapping[str, object]) -> dict[str, str]:
    written = {_printable(title): _written(value) for title, value in others.items()}
    return {title: value[:LONGEST_VALUE] for title, value in written.items() if value is not None}


def _written(value: object) -> str | None:
    """A value that is one thing, as text; None for what is missing, and for lists and objects."""
    if isinstance(value, bool):
        return str(value).lower()
    return _printable(str(value)) if isinstance(value, str | int | float) else None


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def called(value: object) -> str:
    """A value in words: what it is, and how it begins."""
    kinds = {dict: "an object", list: "a list", bool: "a switch", int: "a number", float: "a number", str: "the text"}
    shown = value[:40] if isinstance(value, str) else reprlib.repr(value)[:40]
    return f"{kinds.get(type(value), f'a {type(value).__name__}')} ({shown})"
