"""The texts that somebody asked about, a line each: what of them was recited, and what is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.words import counted

SHOWN = 200
"""Texts on a page at most."""


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """name, and what else the user's file says (`source: book 1`). found: in words. spans: `tokens 54 to 154`, or characters.
    em_before, em_after: the largest EM of any window that was forgotten, "" where there is none."""

    name: str
    columns: str
    tokens: int
    found: str
    spans: str
    em_before: str
    em_after: str


@dataclass(frozen=True)
class TextTable:
    """lines: the first SHOWN, recited texts first. more: how many are left out. sentence: how many were what."""

    lines: list[TextLine]
    more: int
    sentence: str


def text_table(texts: Sequence[Mapping[str, Any]], paragraphs: Sequence[Mapping[str, Any]]) -> TextTable | None:
    """texts: of result.json; paragraphs: rows of paragraphs.parquet. None where no texts were named."""
    if not texts:
        return None
    after: dict[str, int] = {}
    for row in paragraphs:
        if row.get("set") == "forget" and row.get("text") is not None and row.get("em_after") is not None:
            after[row["text"]] = max(after.get(row["text"], 0), int(row["em_after"]))
    by_kind = {kind: [text for text in texts if text["kind"] == kind] for kind in ("recited", "not recited", "too short")}
    ordered = [text for members in by_kind.values() for text in members]
    lines = [_line(text, after.get(text["name"])) for text in ordered[:SHOWN]]
    return TextTable(lines, len(ordered) - len(lines), _sentence(by_kind, len(texts)))


def _sentence(by_kind: Mapping[str, Sequence[Any]], whole: int) -> str:
    counts = {kind: len(members) for kind, members in by_kind.items()}
    said = f"{counts['recited']} of {counted(whole, 'text')} {_are(counts['recited'])} recited, at least in part."
    if number := counts["not recited"]:
        said += f" {number} {_are(number)} not recited: neither trained on nor in any mean."
    if number := counts["too short"]:
        said += f" {number} {_are(number)} too short to be asked for."
    return said


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _line(text: Mapping[str, Any], after: int | None) -> TextLine:
    return TextLine(
        name=text["name"],
        columns="; ".join(f"{name}: {value}" for name, value in text["columns"].items() if value != text["name"]),
        tokens=text["tokens"],
        found=text["kind"],
        spans=", ".join(_span(span) for span in text["spans"]),
        em_before="" if text["em"] is None else str(text["em"]),
        em_after="" if after is None else str(after),
    )


def _span(span: Mapping[str, Any]) -> str:
    """Ends as people count: the last one that belongs to it."""
    if span["first_character"] is None:
        return f"tokens {span['start'] + 1} to {span['end']}"
    return f"characters {span['first_character'] + 1} to {span['end_character']}"
