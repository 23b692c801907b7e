"""The first tokens of long texts, without tokenizing all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.errors import UserError

# Tokens this far before a cut are hardly ever changed by it; that they are not is checked against a cut twice as far away.
MARGIN = 32
_CHARACTERS_A_TOKEN = 8


@dataclass(frozen=True)
class FirstTokens:
    """ids: without special ones. characters: where each begins and ends in the text; None where the tokenizer does not tell.
    more: whether the text has more tokens."""

    ids: list[int]
    characters: list[tuple[int, int]] | None
    more: bool


def first_tokens(
    texts: Sequence[str], count: int | None, tokenizer: Callable[..., Any], origins: Sequence[str]
) -> list[FirstTokens]:
    """For each text its first `count` tokens (fewer where it has fewer; None: all).

    A text is cut, and the cut moved away, until two cuts in a row, the second twice as far, agree on those tokens and have
    MARGIN more; at last the whole text is taken. Raises UserError that names the origin of a text that cannot be tokenized.
    """
    found: dict[int, FirstTokens] = {}
    agreed: dict[int, list[int]] = {}
    longest = max(map(len, texts), default=0)
    size = longest if count is None else _CHARACTERS_A_TOKEN * count + 256
    while left := [number for number in range(len(texts)) if number not in found]:
        pieces = [texts[number][:size] for number in left]
        answered = _tokenize(pieces, tokenizer, [origins[number] for number in left])
        rows = answered["input_ids"]
        for number, row, places in zip(left, rows, answered.get("offset_mapping") or [None] * len(rows), strict=True):
            first = row[:count]
            whole = size >= len(texts[number])
            if whole or agreed.get(number) == first:
                more = count is not None and (not whole or len(row) > count)
                found[number] = FirstTokens(first, None if places is None else places[:count], more)
            elif count is not None and len(row) >= count + MARGIN:
                agreed[number] = first
        size *= 2
    return [found[number] for number in range(len(texts))]


def _tokenize(texts: list[str], tokenizer: Any, origins: Sequence[str]) -> Mapping[str, Any]:
    """`input_ids` without special tokens and, where the tokenizer tells, `offset_mapping`."""
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
        asked = {"return_offsets_mapping": True} if getattr(tokenizer, "is_fast", False) else {}
        answered: Mapping[str, Any] = tokenizer(texts, add_special_tokens=False, verbose=False, **asked)
    except Exception as error:  # each tokenizer has its own
        where = origins[0] if len(origins) == 1 else f"{origins[0]} to {origins[-1]}"
        raise UserError(f"{where}: the tokenizer refuses the text ({type(error).__name__}: {str(error)[:200]})") from error
    return answered
