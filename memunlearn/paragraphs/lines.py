"""The lines of a file, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from memunlearn.errors import UserError
from memunlearn.paragraphs.columns import LONGEST_LINE


def lines(path: Path, file: TextIO) -> Iterator[tuple[int, str]]:
    """Numbered from 1. Raises UserError for a line that is too long to be held."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise UserError(
                f"{path}: line {number} is longer than {LONGEST_LINE:,} characters: write one paragraph or document a line"
            )
        yield number, line
