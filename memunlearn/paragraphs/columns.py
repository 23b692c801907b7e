"""One column of a table, read a row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from memunlearn.errors import UserError

ID_COLUMNS = ("ids", "input_ids", "tokens")
TEXT_COLUMNS = ("paragraph", "text")

LONGEST_LINE = 1 << 25
"""Characters of a line, or bytes of one value, beyond which a file is refused: a line must be held whole to be understood."""

Value = tuple[int | None, object]
"""The number of the line, or None where there are no lines, and what a row holds in the column; a missing value is None."""


@dataclass(frozen=True)
class Column:
    """name: the chosen column; names: all there are.

    values: begins anew with each call. It raises UserError where the file is not what its suffix says.
    """

    name: str
    names: tuple[str, ...]
    values: Callable[[], Iterator[Value]]


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
