"""The rows that a stage's texts were made into."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Beginning, Bos, Tokenizer, beginning_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet

_TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class StageRows:
    """paragraphs [N, I]. dropped: texts that gave no row. beginning: of text, one line that says what stands in front of it."""

    paragraphs: ParagraphSet
    dropped: int = 0
    beginning: str | None = None


def check_lengths(prefix_length: int, continuation_length: int) -> None:
    """Raises UserError for lengths that make no row."""
    if min(prefix_length, continuation_length) < 1:
        raise UserError(
            f"a paragraph needs at least one token on each side: paragraphs.prefix_length={prefix_length}, "
            f"paragraphs.continuation_length={continuation_length}"
        )


def how_text_begins(tokenizer: Tokenizer | None, bos: Bos, where: str) -> tuple[Tokenizer, Beginning]:
    """The tokenizer, and what it puts in front of text. Raises UserError where there is none, and as `beginning_of` does."""
    if tokenizer is None:
        raise UserError(f"{where}: holds text, which needs a tokenizer: set model.tokenizer=DIR_OR_NAME")
    return tokenizer, beginning_of(tokenizer, bos)


def without_beginning(tokens: list[int], beginning: Beginning) -> list[int]:
    """The tokens of a text that may have what stands in front of text already."""
    count = len(beginning.ids)
    return tokens[count:] if tuple(tokens[:count]) == beginning.ids else tokens


def batches(texts: Iterable[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    """The texts, some at a time, as they are tokenized."""
    left = iter(texts)
    while batch := list(islice(left, _TEXTS_AT_ONCE)):
        yield batch


def made(
    rows: Sequence[Sequence[int]],
    origins: Sequence[str],
    prefix_length: int,
    beginning: Beginning,
    *,
    where: str,
    dropped: int,
    why: str,
) -> StageRows:
    """Rows of I ids each; says on stderr how many texts were dropped, and why. Raises UserError where no row is left."""
    if not rows and not dropped:
        raise UserError(f"{where}: there is no such text in the data set: choose another with the settings of paragraphs")
    if not rows:
        raise UserError(
            f"{where}: all of its {dropped} texts are too short ({why}): lower paragraphs.prefix_length or "
            "paragraphs.continuation_length"
        )
    if dropped:
        print(f"{where}: {dropped} texts dropped: {why}", file=sys.stderr)
    text_start = min(len(beginning.ids), prefix_length)
    return StageRows(ParagraphSet(torch.tensor(rows), prefix_length, tuple(origins), text_start), dropped, beginning.why)
