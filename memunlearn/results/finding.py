"""What an analysis found, as plain numbers: enough to write its files, and to draw its figures again."""

from __future__ import annotations

from typing import Any

from pydantic.dataclasses import dataclass

from memunlearn.charts.description import Chart


@dataclass(frozen=True, kw_only=True)
class Finding:
    """name: of the analysis, such as `token_perturbation`. title: its heading on the page.

    sentences: what it shows, computed from the numbers, most important first. unit: what an interval or a test of it
    resamples ("clusters of near-duplicates: conditional on this model and these paragraphs"), or "" where it has none.
    numbers: the key numbers (JSON-able, None for what is not there). charts: its figures.
    tables: by file name without suffix, columns of equal length by name: [n] str, int, float, bool or None.
    notes: what a reader must know beside that: rows left out, what was not computed and why.
    """

    name: str
    title: str
    sentences: tuple[str, ...]
    unit: str
    numbers: dict[str, Any]
    tables: dict[str, dict[str, list[Any]]]
    charts: tuple[Chart, ...]
    notes: tuple[str, ...] = ()
