"""`find.html`: what a model recites of a person's texts, each shown with its recited passages marked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.files.writing import write_text
from memunlearn.reporting.found_texts import FoundText, pieces
from memunlearn.reporting.page import fact_text, rendered
from memunlearn.results.found import NOT_RECITED, TOO_SHORT, answer, measures_p_z, of_kind, place, recall_sentence, samples_text

PAGE = "find.html"


def write_find_page(path: str | os.PathLike[str], result: Mapping[str, Any], texts: Sequence[FoundText]) -> None:
    """Writes one self-contained page. result: as in `find.json`. texts: its texts, with their words."""
    write_text(path, page(result, texts))


def page(result: Mapping[str, Any], texts: Sequence[FoundText]) -> str:
    """The page as HTML."""
    environment, config = result["environment"], result["config"]
    entries = result["texts"]
    return rendered(
        "find.html.jinja",
        notes=result["notes"],
        answer=answer(result),
        model=result["model"],
        patch=result["patch"],
        date=result["date"],
        command=environment.get("command"),
        version=(environment.get("libraries") or {}).get("memunlearn"),
        prefix_length=result["prefix_length"],
        length=result["continuation_length"],
        least=result["least"],
        min_prefix=result["min_prefix"],
        needed=result["needed"],
        beginning=result["beginning"],
        sampling=config["p_z"] if measures_p_z(result) else None,
        recall=recall_sentence(result),
        columns=_columns(entries),
        rows=[_row(entry, measures_p_z(result)) for entry in entries],
        show_texts=config["show_texts"],
        texts=[
            {"number": number, "name": text.entry["name"], "spans": _spans(text, measures_p_z(result)), "pieces": pieces(text)}
            for number, text in enumerate(texts, start=1)
            if text.entry["spans"]
        ],
        not_recited=[entry["name"] for entry in of_kind(entries, NOT_RECITED)],
        too_short=[(entry["name"], entry["tokens"]) for entry in of_kind(entries, TOO_SHORT)],
        facts=[
            ("model", result["model"]["name"]),
            ("sha256 of its weights", result["model"]["fingerprint"]),
            *([] if result["patch"] is None else [("patch", f"{result['patch']['file']}, sha256 {result['patch']['sha256']}")]),
            *[(f"sha256, {name}", value) for name, value in result["inputs"].items()],
            ("seed", str(result["seed"])),
            *((name, fact_text(value)) for name, value in environment.items() if name != "command"),
        ],
    )


def _columns(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of the user's files, without those that only say again what the texts are called."""
    return sorted({title for entry in entries for title, value in entry["columns"].items() if value != entry["name"]})


def _row(entry: Mapping[str, Any], measured: bool) -> dict[str, Any]:
    covered = sum(span["end"] - span["start"] for span in entry["spans"])
    return {
        "name": entry["name"],
        "columns": entry["columns"],
        "kind": entry["kind"],
        "tokens": f"{covered:,} of {entry['tokens']:,}",
        **_numbers(entry, measured),
    }


def _spans(text: FoundText, measured: bool) -> list[dict[str, Any]]:
    return [
        {"number": number, "place": place(span), "tokens": f"{span['start'] + 1:,}-{span['end']:,}", **_numbers(span, measured)}
        for number, span in enumerate(text.entry["spans"], start=1)
    ]


def _numbers(of: Mapping[str, Any], measured: bool) -> dict[str, str]:
    known = of["em"] is not None
    return {
        "em": f"{of['em']:,}" if known else "-",
        "longest_run": f"{of['longest_run']:,}" if known else "-",
        "samples": samples_text(of["log_p_z"], measured) if known else "-",
    }
