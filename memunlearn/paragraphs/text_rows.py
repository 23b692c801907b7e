"""From texts to rows of token ids: the one place where a text becomes a paragraph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from memunlearn.paragraphs.beginnings import Beginning, Tokenizer
from memunlearn.paragraphs.first_tokens import first_tokens
from memunlearn.paragraphs.texts import Text
from memunlearn.paragraphs.token_rows import TokenRow, TokenRows, collect

# Texts are tokenized together up to this many rows and characters.
_BATCH_ROWS = 256
_BATCH_CHARACTERS = 1 << 22


def text_rows(texts: Iterable[Text], length: int, tokenizer: Tokenizer, beginning: Beginning) -> TokenRows:
    """The first `length` (I) tokens of each text.

    beginning: what stands in front of text; a text that begins with it already gets no second one.
    Raises UserError that names a text that cannot be tokenized.
    """
    rows = _rows(texts, length, tokenizer, beginning.ids)
    return collect(rows, length, is_text=True, text_start=len(beginning.ids))


def _rows(texts: Iterable[Text], length: int, tokenizer: Tokenizer, before: tuple[int, ...]) -> Iterator[TokenRow]:
    for batch in _batches(texts):
        names = [text.name for text in batch]
        first = first_tokens([text.content for text in batch], length, tokenizer, names)
        for name, (tokens, more) in zip(names, first, strict=True):
            full = tokens if tuple(tokens[: len(before)]) == before else [*before, *tokens]
            ids = np.array(full[:length], dtype=np.int64) if len(full) >= length else None
            yield TokenRow(name, ids, more or len(full) > length)


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
