"""One column of a table, read a row at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from memunlearn.errors import UserError

ID_COLUMNS = ("ids", "input_ids", "tokens")
TEXT_COLUMNS = ("paragraph", "text")

LONGEST_LINE = 1 << 25
"""Characters of a line, or bytes of one value, beyond which a file is refused: a line must be held whole to be understood."""

_NUMBERS_ONLY = re.compile(r"[\s\[\](),.+\-]*\d[\d\s\[\](),.+\-]*")


@dataclass(frozen=True)
class Row:
    """line: its number, or None where there are no lines. value: what the row holds in the column; None where it is missing.
    others: what it holds in others, by their names, where these may say something of a text."""

    line: int | None
    value: object
    others: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Column:
    """where: what rows are called by, such as `corpus.jsonl`; is_whole: the file is one text and the only row.
    name: the chosen column; names: all there are.

    rows: begins anew with each call. It raises UserError where the file is not what its suffix says.
    """

    where: str
    name: str
    names: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    is_whole: bool = False

    def origin(self, position: int) -> str:
        """What the row at this position, from 0, is called."""
        return self.where if self.is_whole else f"{self.where}:{position}"


def text_or_ids(column: Column) -> tuple[bool, Iterator[Row]]:
    """Whether the column holds text, and all its rows.

    The first value that is not missing decides: a list is ids, and so is a string of nothing but numbers, unless the column is
    called `text` or `paragraph`, or strings after it are more than numbers.
    """
    rows = column.rows()
    seen = []
    for row in rows:
        seen.append(row)
        if row.value is not None:
            break
    first = seen[-1].value if seen else None
    if not isinstance(first, str) or column.name in ID_COLUMNS:
        return False, chain(seen, rows)
    if column.name in TEXT_COLUMNS or not is_numbers(first):
        return True, chain(seen, rows)
    is_text = any(isinstance(row.value, str) and row.value.strip() and not is_numbers(row.value) for row in rows)
    return is_text, column.rows()


def is_numbers(value: str) -> bool:
    """Whether this may be ids written out: `[1, 2]` or `1 2`."""
    return _NUMBERS_ONLY.fullmatch(value) is not None


def choose_column(names: Sequence[str], wanted: str | None, where: str) -> str:
    """The column to read: the wanted one, else a usual name for ids, else one for text, else the only column.

    Raises UserError that lists the columns there are.
    """
    if not names:
        raise UserError(f"{where}: has no columns: name them in its first line")
    if wanted is not None:
        wanted = str(wanted)  # a number on the command line is a name like any other
        if wanted not in names:
            raise UserError(f"{where}: no column {wanted!r}: set paragraphs.column to one of: {', '.join(names)}")
        return _only(wanted, names, where)
    for usual in (*ID_COLUMNS, *TEXT_COLUMNS):
        if usual in names:
            return _only(usual, names, where)
    if len(names) == 1:
        return names[0]
    raise UserError(f"{where}: which column holds the paragraphs? Set paragraphs.column to one of: {', '.join(names)}")


def _only(name: str, names: Sequence[str], where: str) -> str:
    if list(names).count(name) > 1:
        raise UserError(f"{where}: has {list(names).count(name)} columns named {name!r}: give each a name of its own")
    return name


def another_column(name: str, names: Sequence[str]) -> str:
    """What to do where the chosen column turns out to be the wrong one."""
    others = [other for other in names if other != name]
    return f"set paragraphs.column to one of: {', '.join(others)}" if others else "give a file with a column of either"
