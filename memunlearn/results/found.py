"""What a search for recited text found, in words: `find.json` told on the terminal and on its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.results.samples import samples_of
from memunlearn.words import counted

KINDS = RECITED, NOT_RECITED, TOO_SHORT = "recited", "not recited", "too short"
"""What a text is found to be."""
MOST_SAMPLES = 10**9


def of_kind(texts: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [text for text in texts if text["kind"] == kind]


def best_of(texts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Recited texts first, then those that are not, then those too short; as they came within each."""
    return [text for kind in KINDS for text in of_kind(texts, kind)]


def answer(result: Mapping[str, Any]) -> str:
    """`3 of 5 texts are recited, at least in part: 4 passages, 210 of 1,400 tokens.`"""
    texts = result["texts"]
    recited, short = of_kind(texts, RECITED), of_kind(texts, TOO_SHORT)
    who = f"the model{' with the patch' if result['patch'] else ''}"
    looked_at = counted(len(texts), "text")
    besides = f" {len(short)} {'is' if len(short) == 1 else 'are'} too short to be looked at." if short else ""
    if not recited:
        return f"None of {looked_at} is recited by {who}.{besides}"
    spans = [span for text in recited for span in text["spans"]]
    tokens, whole = sum(span["end"] - span["start"] for span in spans), sum(text["tokens"] for text in texts)
    return (
        f"{len(recited)} of {looked_at} {'is' if len(recited) == 1 else 'are'} recited by {who}, at least in part: "
        f"{counted(len(spans), 'passage')}, {tokens:,} of {whole:,} tokens.{besides}"
    )


def place(span: Mapping[str, Any]) -> str:
    """`characters 12 to 340`, from 1, the last included; tokens where the characters are not known."""
    if span["first_character"] is None:
        return f"tokens {span['start'] + 1:,} to {span['end']:,}"
    return f"characters {span['first_character'] + 1:,} to {span['end_character']:,}"


def measures_p_z(result: Mapping[str, Any]) -> bool:
    """Whether this search measured how likely sampling is to say a text."""
    return result["config"]["p_z"]["top_k"] is not None


def samples_text(log_p_z: float | None, measured: bool) -> str:
    """How many samples say it with probability .5: `-` where that was not measured, `never`, or `> 1,000,000,000`."""
    if log_p_z is None:
        return "never" if measured else "-"
    needed = samples_of(log_p_z)
    return f"> {MOST_SAMPLES:,}" if needed is None or needed > MOST_SAMPLES else f"{needed:,}"


def recall_sentence(result: Mapping[str, Any]) -> str | None:
    """What a search of every window says of the screen; None where not every window was scored."""
    recall = result["recall"]
    if recall is None:
        return None
    if not recall["of"]:
        return "Every window was scored, and none is recited."
    return (
        f"Every window was scored: the screen alone would have found {recall['found']:,} of {recall['of']:,} recited windows "
        f"(recall {recall['found'] / recall['of']:.3f})."
    )
