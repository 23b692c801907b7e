"""What is written of each text that was searched: plain values, for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from memunlearn.recitation.find import Reading
from memunlearn.recitation.spans import Span
from memunlearn.results.found import NOT_RECITED, RECITED, TOO_SHORT
from memunlearn.scoring.score import ParagraphScores


def text_entries(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """One a text: name, columns of the user's file, kind, tokens (without BOS), windows scored, the best of them (em,
    longest_run, nll, log_p_z where it was measured), and its recited spans.

    A span: tokens `start` to `end` and characters `first_character` to `end_character` (ends not included; null where the
    tokenizer does not tell), how many windows of it are recited, and the best of these.
    """
    return [
        {
            "name": reading.text.name,
            "columns": dict(reading.text.columns),
            "kind": _kind(reading),
            "tokens": len(reading.text),
            "windows": len(reading.starts),
            **_best(reading.scores),
            "spans": [_span(reading, span) for span in reading.spans],
        }
        for reading in readings
    ]


def _kind(reading: Reading) -> str:
    return TOO_SHORT if reading.too_short else RECITED if reading.spans else NOT_RECITED


def _span(reading: Reading, span: Span) -> dict[str, Any]:
    first, end = reading.text.span(span.start, span.end)
    return {
        "start": span.start,
        "end": span.end,
        "first_character": first,
        "end_character": end,
        "windows": len(span.starts),
        **_best(reading.of_span(span)),
    }


def _best(scores: ParagraphScores) -> dict[str, Any]:
    """Of several windows the largest EM, longest run and log p_z, and the lowest NLL; None of none."""
    if not len(scores):
        return {"em": None, "longest_run": None, "nll": None, "log_p_z": None}
    log_p_z = scores.values.get("log_p_z")
    return {
        "em": int(scores.em.max()),
        "longest_run": int(scores.values["longest_run"].max()),
        "nll": float(scores.nll.min()),
        "log_p_z": None if log_p_z is None or not bool(torch.isfinite(log_p_z).any()) else float(log_p_z.max()),
    }
