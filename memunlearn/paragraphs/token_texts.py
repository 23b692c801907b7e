"""Texts as tokens, each token knowing its characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.places import Place
from memunlearn.paragraphs.windows import window_rows


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenText:
    """name: unique among the texts of its source. ids: [T] int64 without special tokens. source: which setting gave it.

    content: the text itself, "" where only ids are known. characters: [T, 2], where each token begins and ends in it; None
    where the tokenizer does not tell. columns: what else the user's file says of the text.
    """

    name: str
    ids: Tensor
    source: str = ""
    content: str = ""
    characters: Tensor | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def place(self, start: int, length: int) -> Place:
        """Of a continuation of so many tokens that begins at the token `start`."""
        first, end = self.span(start, start + length)
        return Place(
            source=self.source, text=self.name, start=start, first_character=first, end_character=end, columns=self.columns
        )

    def span(self, start: int, end: int) -> tuple[int | None, int | None]:
        """The characters of the tokens from `start` to `end` (not included)."""
        if self.characters is None:
            return None, None
        return int(self.characters[start, 0]), int(self.characters[end - 1, 1])

    def rows(self, starts: Sequence[int], prefix_length: int, continuation_length: int, before: Sequence[int]) -> ParagraphSet:
        """A row for each start of a continuation. before: what stands in front of text (BOS), in front of every row."""
        return ParagraphSet(
            window_rows(self.ids, starts, prefix_length, continuation_length, before),
            prefix_length,
            tuple(self.name if len(starts) == 1 else f"{self.name}@{start}" for start in starts),
            len(before),
            tuple(self.place(start, continuation_length) for start in starts),
        )


def rows_of_texts(
    texts: Sequence[tuple[TokenText, Sequence[int]]], prefix_length: int, continuation_length: int, before: Sequence[int]
) -> ParagraphSet:
    """The rows of all texts, each with the starts of its continuations, one text after the other. At least one text."""
    return concatenate([text.rows(starts, prefix_length, continuation_length, before) for text, starts in texts])
