"""What comes after the numbers: pages, pictures, uploads. A failure there costs nothing else, and is still said at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from memunlearn.commands.mistakes import mistake
from memunlearn.errors import UserError


@dataclass
class Afterwards:
    """failures: what could not be done, and why."""

    failures: list[tuple[str, Exception]] = field(default_factory=list)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """What fails in here is kept for `raise_failures`. what: what is then missing, and how to get it."""
        try:
            yield
        except Exception as error:  # drawing, rendering, and other people's servers fail in their own ways
            self.failures.append((what, error))

    @property
    def missing(self) -> str:
        """What could not be done, and why, in one line; nothing where all was."""
        return "; ".join(f"{what} ({mistake(error) or repr(error)})" for what, error in self.failures)

    def raise_failures(self, result: Path) -> None:
        """Raises the first failure, if there is one, with what is missing; result: the file that is whole nonetheless.

        A UserError if the user can mend every one of them.
        """
        if not self.failures:
            return
        faults = [error for _, error in self.failures if mistake(error) is None]
        first = faults[0] if faults else self.failures[0][1]
        line = f"{result} is complete, but {self.missing}"
        if faults:
            first.add_note(line)
            raise first
        raise UserError(line) from first
