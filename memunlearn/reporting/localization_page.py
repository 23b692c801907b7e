"""`localization.html`: what the analyses found on one page that needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memunlearn.charts.files import Picture
from memunlearn.files.writing import finite_or_null
from memunlearn.reporting.page import fact_text, figures_of, plots_of, rendered
from memunlearn.results.finding import Finding

NUMBERS_AT_MOST, ITEMS_AT_MOST = 300, 12
DIGITS = 4


def localization_page(
    findings: Sequence[Finding],
    pictures: Sequence[Picture],
    config: Mapping[str, Any],
    *,
    environment: Mapping[str, Any],
    notes: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
    claims: Mapping[str, str] | None = None,
) -> str:
    """The page as HTML; texts of findings are shown as they are, whatever they hold.

    pictures: of the findings' charts, by name: for paper and where scripts do not run. config: of the run, resolved.
    environment: as in `result.json`; its `command` and `commit` stand by themselves. notes: shown at the top. seconds: by what
    they were spent on. claims: what a paper says, by name of the analysis, to stand beside what was found.
    """
    facts = [(f"time, {name}", f"{spent:.1f} s") for name, spent in (seconds or {}).items()]
    facts += [(str(name), fact_text(value)) for name, value in environment.items() if name != "command"]
    return rendered(
        "localization.html.jinja",
        notes=notes,
        findings=[
            {
                "finding": finding,
                "claim": (claims or {}).get(finding.name),
                "figures": figures_of(finding.charts, pictures),
                "numbers": (numbers := list(flat(finding.numbers)))[:NUMBERS_AT_MOST],
                "more_numbers": max(0, len(numbers) - NUMBERS_AT_MOST),
            }
            for finding in findings
        ],
        plots=plots_of([chart for finding in findings for chart in finding.charts]),
        command=environment.get("command"),
        commit=environment.get("commit"),
        facts=facts,
        config=json.dumps(finite_or_null(config), indent=2, ensure_ascii=False, default=str),
    )


def flat(numbers: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value in print) of nested dicts; a list of plain values is one value, other lists are counted from 0."""
    if isinstance(numbers, Mapping):
        items = [(str(key), value) for key, value in numbers.items()]
    elif isinstance(numbers, list | tuple) and any(isinstance(value, Mapping | list | tuple) for value in numbers):
        items = [(str(place), value) for place, value in enumerate(numbers)]
    else:
        yield name, _in_print(numbers)
        return
    for key, value in items:
        yield from flat(value, f"{name}.{key}" if name else key)


def _in_print(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = [_in_print(one) for one in value[:ITEMS_AT_MOST]]
        rest = [f"and {len(value) - ITEMS_AT_MOST:,} more"] if len(value) > ITEMS_AT_MOST else []
        return "; ".join([*shown, *rest]) or "none"
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{float(f'{value:.{DIGITS}g}'):,.10g}"
    return str(value)
