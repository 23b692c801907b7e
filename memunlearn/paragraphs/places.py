"""Where a row stands in the text that it was cut out of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
