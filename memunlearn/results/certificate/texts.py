"""Whole texts on a certificate: what was recited of each, what is now, and which were not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from memunlearn.results.certificate.content import CertifiedRow, CertifiedText, Facts, RecitedSpan
from memunlearn.results.found import KINDS, TOO_SHORT, place
from memunlearn.words import counted, listed

NAMED_AT_MOST = 8


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """One text. tokens: how long it is. before, now: what the original and the changed model recite of it. rows: the passages
    that the change was made for."""

    name: str
    columns: list[tuple[str, str]]
    tokens: int
    before: str
    now: str
    rows: list[CertifiedRow]


def text_lines(facts: Facts) -> list[TextLine]:
    """A line a text: those that were recited first; none where the run had only rows."""
    return [
        TextLine(
            name=text.name,
            columns=list(text.columns.items()),
            tokens=text.tokens,
            before=_spans(text.spans) if text.spans else text.kind,
            now=_now(text),
            rows=[row for row in facts.rows if row.text == text.name],
        )
        for text in sorted(facts.texts or (), key=lambda text: KINDS.index(text.kind))
    ]


def other_rows(facts: Facts) -> list[CertifiedRow]:
    """Rows that are a part of none of the texts."""
    names = {text.name for text in facts.texts or ()}
    return [row for row in facts.rows if row.text not in names]


def text_sentences(facts: Facts) -> list[str]:
    """What was asked about and what became of it, each in a sentence; none where the run had only rows."""
    if facts.texts is None:
        return []
    of = len(facts.texts)
    recited, not_recited, short = (_of_kind(facts.texts, kind) for kind in KINDS)
    said = [
        f"{counted(of, 'text')} {_was(of)} asked about. The original model recites {len(recited)} of {of}, at least in part."
    ]
    said.append(_still(facts))
    if not_recited:
        said.append(f"Not recited, so nothing was done about {_it(not_recited)}: {_names(not_recited)}.")
    if short:
        said.append(f"Too short to be asked for: {_names(short)}.")
    return said


def still_recited(texts: Sequence[CertifiedText]) -> list[str]:
    """Names of texts of which the changed model recites a part."""
    return [text.name for text in texts if text.now is not None and text.now.spans]


def names_in_words(names: Sequence[str]) -> str:
    """`a, b and c`; of many the first ones, and how many more there are."""
    more = len(names) - NAMED_AT_MOST
    return listed(names) if more <= 0 else f"{', '.join(names[:NAMED_AT_MOST])} and {more:,} more"


def _still(facts: Facts) -> str:
    searched = [text for text in facts.texts or () if text.now is not None]
    if not searched:
        return "Whether the changed model still recites other passages of these texts than those below was not searched."
    if left := still_recited(searched):
        verb = "is" if len(left) == 1 else "are"
        return (
            f"{len(left)} of {counted(len(searched), 'text')} {verb} still recited in part by the changed model: "
            f"{names_in_words(left)}. The removal is not complete."
        )
    return (
        "All texts were searched again, wherever a passage may begin: of none of them the changed model recites "
        f"{facts.length} tokens in a row."
    )


def _now(text: CertifiedText) -> str:
    if text.now is None:
        return "not searched"
    if text.now.spans:
        return _spans(text.now.spans)
    return text.kind if text.kind == TOO_SHORT else "nothing"


def _spans(spans: Sequence[RecitedSpan]) -> str:
    """`characters 355 to 511 (50 tokens)`, counted from 1, the last one included; several joined."""
    return listed([_span(span) for span in spans])


def _span(span: RecitedSpan) -> str:
    return f"{place(asdict(span))} ({counted(span.end - span.start, 'token')})"


def _of_kind(texts: Sequence[CertifiedText], kind: str) -> list[CertifiedText]:
    return [text for text in texts if text.kind == kind]


def _names(texts: Sequence[CertifiedText]) -> str:
    return names_in_words([text.name for text in texts])


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _it(texts: Sequence[CertifiedText]) -> str:
    return "it" if len(texts) == 1 else "them"
