"""Where a row stands in the text that it was cut out of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Place:
    """text: the text's name, unlike those of others of its source (the setting that gave it).

    start: the token of the text, from 0, with which the continuation begins; of what stands in front of text (BOS) none counts.
    first_character, end_character: the continuation in the text, the end not included; None where the tokenizer does not tell.
    columns: what else the user's file says of the text.
    """

    text: str
    start: int
    source: str = ""
    first_character: int | None = None
    end_character: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


def place_columns(place: Place | None) -> dict[str, Any]:
    """For a table of rows: the text's name, the token with which the continuation begins, the continuation's first and end
    characters, and the user's columns as JSON. All None of a row that was not cut out of a text."""
    if place is None:
        return dict.fromkeys(("text", "token_start", "first_character", "end_character", "text_columns"))
    return {
        "text": place.text,
        "token_start": place.start,
        "first_character": place.first_character,
        "end_character": place.end_character,
        "text_columns": json.dumps(dict(place.columns), ensure_ascii=False) if place.columns else None,
    }
