"""The texts that somebody asked about, a line each: what of them was recited, and what is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.results.found import KINDS, best_of, of_kind, place
from memunlearn.words import counted

SHOWN = 200
"""Texts on a page at most."""


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """name, and what else the user's file says (`source: book 1`). found: in words. spans: where (`results.found.place`).
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
    ordered = best_of(texts)
    lines = [_line(text, after.get(text["name"])) for text in ordered[:SHOWN]]
    return TextTable(lines, len(ordered) - len(lines), _sentence(texts))


def _sentence(texts: Sequence[Mapping[str, Any]]) -> str:
    recited, not_recited, short = (len(of_kind(texts, kind)) for kind in KINDS)
    said = f"{recited} of {counted(len(texts), 'text')} {_are(recited)} recited, at least in part."
    if not_recited:
        said += f" {not_recited} {_are(not_recited)} not recited: neither trained on nor in any mean."
    if short:
        said += f" {short} {_are(short)} too short to be asked for."
    return said


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _line(text: Mapping[str, Any], after: int | None) -> TextLine:
    return TextLine(
        name=text["name"],
        columns="; ".join(f"{name}: {value}" for name, value in text["columns"].items() if value != text["name"]),
        tokens=text["tokens"],
        found=text["kind"],
        spans=", ".join(place(span) for span in text["spans"]),
        em_before="" if text["em"] is None else str(text["em"]),
        em_after="" if after is None else str(after),
    )
