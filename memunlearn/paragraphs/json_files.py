"""One column of JSON: an object a line (jsonl), or one document (json)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paragraphs.columns import ID_COLUMNS, TEXT_COLUMNS, Column, Row, choose_column
from memunlearn.paragraphs.lines import lines
from memunlearn.paragraphs.unpacking import not_utf8, open_text

LARGEST_DOCUMENT = 1 << 26
"""Characters of a json file, which must be held whole to be understood, beyond which it is refused."""


def jsonl_column(path: Path, where: str, wanted: str | None) -> Column:
    """The chosen column of the rows. Raises UserError where none has it, and while it is read for what is no object."""
    first = ID_COLUMNS[0] if wanted is None else str(wanted)
    names: dict[str, None] = {}
    count = 0
    for _, row in _rows(path):
        count += 1
        names |= dict.fromkeys(row)
        if first in names:
            break  # nothing that comes after could be preferred to it
    if not count:
        raise UserError(f"{path}: has no rows: give a file with at least one paragraph")
    name = choose_column(list(names), wanted, path.name)

    def rows() -> Iterator[Row]:
        return (_row(line, row, name) for line, row in _rows(path))

    return Column(where=where, name=name, names=tuple(names), rows=rows)


def json_column(path: Path, where: str, wanted: str | None) -> Column:
    """The chosen column of a list of objects, of an object whose only list holds them, or of one object; or a list of texts.

    Raises UserError that says what was found instead.
    """
    looked_for = {str(wanted)} if wanted is not None else {*ID_COLUMNS, *TEXT_COLUMNS}
    records = _records(path, looked_for)
    names = list(dict.fromkeys(name for record in records for name in record))
    name = choose_column(names, wanted, path.name)

    def rows() -> Iterator[Row]:
        return (_row(None, record, name) for record in _records(path, looked_for))

    return Column(where=where, name=name, names=tuple(names), rows=rows)


def _row(line: int | None, record: dict[str, object], name: str) -> Row:
    return Row(line, record.get(name), {other: value for other, value in record.items() if other != name})


def _records(path: Path, looked_for: set[str]) -> list[dict[str, object]]:
    with _errors_of(path, "the file"), open_text(path) as file:
        content = file.read(LARGEST_DOCUMENT + 1)
        if len(content) > LARGEST_DOCUMENT:
            raise UserError(f"{path}: is longer than {LARGEST_DOCUMENT:,} characters: write it as .jsonl, an object a line")
        document = json.loads(content)
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        if not looked_for.isdisjoint(document) or len(lists) != 1 or not _are_records(lists[0]):
            return [document]
        document = lists[0]
    if isinstance(document, list) and document and all(isinstance(text, str) for text in document):
        return [{TEXT_COLUMNS[-1]: text} for text in document]
    if isinstance(document, list) and _are_records(document):
        return document
    raise UserError(
        f"{path}: holds {_found(document)}: write a list of objects or of texts, one object with a text, or an object "
        "whose only list holds the rows"
    )


def _are_records(values: Sequence[object]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def _found(document: object) -> str:
    if isinstance(document, list):
        kinds = sorted({type(value).__name__ for value in document})
        return f"a list of {' and '.join(kinds)}" if kinds else "an empty list"
    return "one " + {"str": "text without an object", "NoneType": "null"}.get(type(document).__name__, type(document).__name__)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with _errors_of(path, "the file"), open_text(path) as file:
        for number, line in lines(path, file):
            if not line.strip():
                continue
            with _errors_of(path, f"line {number}"):
                row = json.loads(line)
            if not isinstance(row, dict):
                raise UserError(
                    f'{path}: line {number} is not an object: each line must be one, such as {{"{ID_COLUMNS[0]}": [1, 2]}}'
                )
            yield number, row


@contextmanager
def _errors_of(path: Path, place: str) -> Iterator[None]:
    """place: the part that is read within it, such as `line 3`."""
    try:
        yield
    except RecursionError as error:
        raise UserError(f"{path}: {place} is nested too deeply: write one flat object a row") from error
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except json.JSONDecodeError as error:
        at = f"character {error.colno}" + (f" of line {error.lineno}" if error.lineno > 1 else "")
        raise UserError(f"{path}: {place} is not JSON ({error.msg} at {at}): write it again, in UTF-8") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise UserError(f"{path}: {place} is not JSON ({error}): write it again, in UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from error
