"""From texts to rows of token ids: the one place where a text becomes paragraphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from memunlearn.paragraphs.beginnings import Beginning, Tokenizer
from memunlearn.paragraphs.first_tokens import first_tokens
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.texts import Text
from memunlearn.paragraphs.token_rows import NAMED_SHORT, TokenRows
from memunlearn.paragraphs.token_texts import TokenText
from memunlearn.paragraphs.windows import Windows

# Texts are tokenized together up to this many rows and characters.
_BATCH_ROWS = 256
_BATCH_CHARACTERS = 1 << 22


def text_rows(texts: Iterable[tuple[TokenText, bool]], windows: Windows, before: tuple[int, ...]) -> TokenRows:
    """The windows of each text. texts: as `token_texts` gives them; before: what stands in front of every row (BOS)."""
    sets, short = list[ParagraphSet](), list[str]()
    cut = 0
    for text, more in texts:
        if starts := windows.starts(len(text), len(before)):
            sets.append(text.rows(starts, windows.prefix_length, windows.continuation_length, before))
            cut += more
        else:
            short.append(text.name)
    read = windows.tokens_read(len(before))
    return rows_of_sets(
        sets,
        windows.prefix_length + windows.continuation_length,
        len(before),
        needed=windows.needed(len(before)) + len(before),
        read=read and read + len(before),
        short=short,
        cut=cut,
    )


def rows_of_sets(
    sets: Sequence[ParagraphSet],
    length: int,
    text_start: int,
    *,
    needed: int,
    read: int | None,
    short: Sequence[str],
    cut: int = 0,
) -> TokenRows:
    """sets: one of each text that was long enough. length: I. short: names of all that were not."""
    rows = concatenate(sets) if sets else None
    return TokenRows(
        ids=torch.empty(0, length, dtype=torch.int64) if rows is None else rows.ids,
        is_text=True,
        names=() if rows is None else rows.origin,
        long_enough=len(sets),
        needed=needed,
        read=read,
        text_start=text_start,
        places=() if rows is None else rows.places,
        dropped=len(short),
        short=tuple(short[:NAMED_SHORT]),
        cut=cut,
    )


def token_texts(
    texts: Iterable[Text], count: int | None, tokenizer: Tokenizer, beginning: Beginning, source: str
) -> Iterator[tuple[TokenText, bool]]:
    """Each text with its first `count` tokens (None: all), and whether it has more.

    beginning: what stands in front of text; where a text begins with it already, it is no part of the text.
    Raises UserError that names a text that cannot be tokenized.
    """
    before = beginning.ids
    for batch in _batches(texts):
        names = [text.name for text in batch]
        read = first_tokens([text.content for text in batch], count and count + len(before), tokenizer, names)
        for text, first in zip(batch, read, strict=True):
            own = len(before) if before and tuple(first.ids[: len(before)]) == before else 0
            end = None if count is None else own + count
            yield (
                TokenText(
                    name=text.name,
                    ids=torch.tensor(first.ids[own:end], dtype=torch.int64),
                    source=source,
                    content=text.content,
                    characters=_places(first.characters, own, end),
                    columns=text.columns,
                ),
                first.more or (end is not None and len(first.ids) > end),
            )


def _places(characters: Sequence[tuple[int, int]] | None, first: int, end: int | None) -> torch.Tensor | None:
    return None if characters is None else torch.tensor(characters[first:end], dtype=torch.int64).reshape(-1, 2)


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    batch: list[Text] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text.content)
        if len(batch) == _BATCH_ROWS or characters > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
