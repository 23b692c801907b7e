"""The tables of a public data set, their columns checked before anything is made of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain

from memunlearn.errors import UserError
from memunlearn.paragraphs.data_sets import documents
from memunlearn.paths import expanded


@dataclass(frozen=True, kw_only=True)
class Table:
    """One split of a data set, or one file of a folder.

    base, name: BASE/NAME on the Hub; or BASE is a folder on this machine with a folder NAME of the same files, as
    `hf download BASE/NAME --repo-type dataset --local-dir FOLDER/NAME` makes it. is_file: NAME is a jsonl file by itself, and
    BASE the folder or the address that has it.
    columns: those that are read.
    """

    base: str
    name: str
    split: str
    columns: tuple[str, ...]
    subset: str | None = None
    revision: str | None = None
    is_file: bool = False

    @property
    def where(self) -> str:
        """As rows are named after it: `MUSE-Books:raw:forget`."""
        return self.name if self.is_file else ":".join(part for part in (self.name, self.subset, self.split) if part)

    def documents(self) -> Iterator[Mapping[str, object]]:
        """Every row, whatever its columns. Raises UserError where the table cannot be opened or read on."""
        place = self._place()
        copy = f"hf download {place} --repo-type dataset --local-dir DIR/{self.name}"
        return documents(
            "json" if self.is_file else place,
            self.split,
            where=self.where,
            advice="check paragraphs.base, paragraphs.revision and the network, or download it once "
            f"({place if self.is_file else copy}) and set paragraphs.base=DIR",
            subset=self.subset,
            revision=self.revision,
            data_files=place if self.is_file else None,
        )

    def _place(self) -> str:
        folder = expanded(self.base)
        if folder.is_dir():
            if not (folder / self.name).exists():
                raise UserError(f"paragraphs.base={self.base}: there is no {self.name} in this folder: download it there")
            return str(folder / self.name)
        if "://" not in self.base and ("/" in self.base or self.base.startswith((".", "~"))):
            raise UserError(f"paragraphs.base={self.base}: there is no such folder: give one with copies, or the Hub's owner")
        return f"{self.base}/{self.name}"

    def check(self) -> None:
        """Raises UserError where the table cannot be opened, is empty, or lacks a column; once in a process."""
        _check(self)

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Every row, as column -> value. Raises UserError as `check` does."""
        read = self.documents()
        return chain([_first(self, read)], read)

    def text(self, row: Mapping[str, object], column: str, position: int) -> str:
        """The text that a row holds there. Raises UserError where it holds anything else."""
        value = row[column]
        if not isinstance(value, str):
            raise self._holds(value, column, position, "text")
        return value

    def ids(self, row: Mapping[str, object], column: str, position: int) -> list[int]:
        """The token ids that a row holds there. Raises UserError where it holds anything else."""
        value = row[column]
        if not isinstance(value, list) or not all(type(token) is int and token >= 0 for token in value):
            raise self._holds(value, column, position, "a list of token ids")
        return value

    def _holds(self, value: object, column: str, position: int, wanted: str) -> UserError:
        return UserError(
            f"{self.where}:{position}: column {column!r} holds a {type(value).__name__} ({str(value)[:40]}), not {wanted}: "
            "this is not the published data set; set paragraphs.base and paragraphs.revision to one that is"
        )


def check_max_rows(max_rows: int | None) -> None:
    """Raises UserError for a number of texts that leaves none."""
    if max_rows is not None and max_rows < 1:
        raise UserError(f"paragraphs.max_rows={max_rows} reads no text: set 1 or more, or null for all")


@cache
def _check(table: Table) -> None:
    _first(table, table.documents())


def _first(table: Table, read: Iterator[Mapping[str, object]]) -> Mapping[str, object]:
    first = next(read, None)
    if first is None:
        raise UserError(f"data set {table.where} has no rows: set paragraphs.base and paragraphs.revision to one that has some")
    if missing := [column for column in table.columns if column not in first]:
        raise UserError(
            f"data set {table.where} has another layout than is read here: no column {' and no column '.join(missing)}, but "
            f"{', '.join(map(str, first))}: set paragraphs.revision to a commit with the published layout, or read the texts "
            "as paragraphs=hub or paragraphs=files"
        )
    return first
