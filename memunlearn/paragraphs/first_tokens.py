"""The first tokens of long texts, without tokenizing all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memunlearn.errors import UserError

# Tokens this far before a cut are hardly ever changed by it; that they are not is checked against a cut twice as far away.
MARGIN = 32
_CHARACTERS_A_TOKEN = 8


def first_tokens(
    texts: Sequence[str], count: int, tokenizer: Callable[..., Any], origins: Sequence[str]
) -> list[tuple[list[int], bool]]:
    """For each text its first `count` tokens (fewer where it has fewer) without special ones, and whether it has more.

    A text is cut, and the cut moved away, until two cuts in a row, the second twice as far, agree on those tokens and have
    MARGIN more; at last the whole text is taken. Raises UserError that names the origin of a text that cannot be tokenized.
    """
    found: dict[int, tuple[list[int], bool]] = {}
    agreed: dict[int, list[int]] = {}
    size = _CHARACTERS_A_TOKEN * count + 256
    while left := [number for number in range(len(texts)) if number not in found]:
        pieces = [texts[number][:size] for number in left]
        rows = tokenize(pieces, tokenizer, [origins[number] for number in left])["input_ids"]
        for number, row in zip(left, rows, strict=True):
            first = row[:count]
            whole = size >= len(texts[number])
            if whole or agreed.get(number) == first:
                found[number] = (first, not whole or len(row) > count)
            elif len(row) >= count + MARGIN:
                agreed[number] = first
        size *= 2
    return [found[number] for number in range(len(texts))]


def tokenize(texts: list[str], tokenizer: Any, origins: Sequence[str], **asked: bool) -> Mapping[str, Any]:
    """What the tokenizer answers (`input_ids` and what else is asked for), without special tokens.

    Raises UserError that names the origin of a text that cannot be tokenized.
    """
    for text, origin in zip(texts, origins, strict=True):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{origin}: holds half of a surrogate pair at character {error.start}, which is no text: write the row again"
            ) from error
    if not texts:
        return {"input_ids": []}
    try:
        # No truncation by the tokenizer: some cut on the left. verbose=False: texts longer than the model's context are no
        # mistake.
        answered: Mapping[str, Any] = tokenizer(texts, add_special_tokens=False, verbose=False, **asked)
    except Exception as error:  # each tokenizer has its own
        where = origins[0] if len(origins) == 1 else f"{origins[0]} to {origins[-1]}"
        raise UserError(f"{where}: the tokenizer refuses the text ({type(error).__name__}: {str(error)[:200]})") from error
    return answered
