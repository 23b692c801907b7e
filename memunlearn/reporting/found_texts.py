"""A searched text as it is told: what was found, and its own words around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

AROUND = 400
"""Characters that stay before and behind a span, where a long text is shortened."""
WHOLE = 6000
"""Texts of up to so many characters are shown in full."""


@dataclass(frozen=True)
class FoundText:
    """entry: as in `find.json`, `texts`. content: the text; "" where it is not shown. words: of each recited span."""

    entry: Mapping[str, Any]
    content: str
    words: Sequence[str]


@dataclass(frozen=True)
class Piece:
    """A part of a text. number: of the recited span that it is, from 1; None: it is none. left_out: so many characters are
    left out here, and `words` is empty."""

    words: str
    number: int | None = None
    left_out: int = 0


def pieces(text: FoundText) -> list[Piece]:
    """The text in order, its recited spans each once; where it is long only what stands around them.

    Without characters of spans (a tokenizer that does not tell them) the spans alone, in their order.
    """
    spans = text.entry["spans"]
    if any(span["first_character"] is None for span in spans):
        return [Piece(words, number) for number, words in enumerate(text.words, start=1)]
    cuts: list[Piece] = []
    done = 0
    for number, span in enumerate(spans, start=1):
        first, end = max(done, span["first_character"]), span["end_character"]
        cuts += _between(text.content[done:first], first=done == 0, last=False, long=len(text.content) > WHOLE)
        cuts.append(Piece(text.content[first:end], number))
        done = end
    return cuts + _between(text.content[done:], first=not spans, last=True, long=len(text.content) > WHOLE)


def _between(words: str, *, first: bool, last: bool, long: bool) -> list[Piece]:
    """What stands between two spans: its ends only where it is too much. first, last: no span stands before, behind."""
    before, behind = 0 if first and not last else AROUND, 0 if last and not first else AROUND
    left_out = len(words) - before - behind
    if not long or left_out <= 0:
        return [Piece(words)] if words else []
    kept = [Piece(words[:before]), Piece("", left_out=left_out), Piece(words[len(words) - behind :] if behind else "")]
    return [piece for piece in kept if piece.words or piece.left_out]
