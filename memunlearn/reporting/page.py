"""`report.html`: one page that needs no network, from the plain results of a run."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from memunlearn.charts.description import Chart
from memunlearn.charts.files import Picture
from memunlearn.charts.page import library, page_figure
from memunlearn.files.writing import finite_or_null, write_text
from memunlearn.reporting.extraction import SAMPLES_SHOWN, extraction_grid, is_extraction
from memunlearn.reporting.paragraph_browser import browser_metrics, browser_rows, embedded_json, table_rows
from memunlearn.reporting.text_table import text_table
from memunlearn.results.figure_data import mask_grid
from memunlearn.results.figures import run_charts
from memunlearn.results.sentence import STOPPED_BECAUSE, one_paragraph_at_a_time, result_sentence
from memunlearn.results.tables import (
    SetStats,
    change_text,
    in_part,
    interval_text,
    is_known,
    rows_and_clusters,
    set_names,
    value_text,
)
from memunlearn.scoring.metric import Metric
from memunlearn.scoring.metrics import EM, LONGEST_COMMON_RUN, METRICS, NLL
from memunlearn.words import fixed

if TYPE_CHECKING:
    from markupsafe import Markup

# Control characters that HTML forbids, even as references; tab, newline and carriage return are fine.
FORBIDDEN_IN_HTML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# What tells whether a text is still recited.
BESIDE_TEXTS = (EM, LONGEST_COMMON_RUN, NLL)


@dataclass(frozen=True)
class Figure:
    """A PNG as base64 (empty where there is none), what it shows in a sentence (alt text), and the line under it."""

    name: str
    png: str
    alt: str
    caption: str


def write_report(
    path: str | os.PathLike[str],
    result: Mapping[str, Any],
    curve: Sequence[Mapping[str, float]],
    *,
    paragraphs: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    pictures: Sequence[Picture] = (),
    attacks: str | None = None,
) -> None:
    """Writes one self-contained HTML page, atomically.

    result: as in `result.json`. curve: rows of `metrics.csv`, may be empty.
    paragraphs: rows of `paragraphs.parquet`: `set`, `index`, EM and NLL, and where there is text the columns that
    paragraph_browser reads. notes: shown at the top. pictures: of `run_charts`, for paper and where scripts do not run.
    attacks: the page beside it that says what attacks brought back, or None.
    """
    write_text(path, report(result, curve, paragraphs, notes, pictures, attacks=attacks))


def report(
    result: Mapping[str, Any],
    curve: Sequence[Mapping[str, float]],
    paragraphs: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    pictures: Sequence[Picture] = (),
    *,
    attacks: str | None = None,
) -> str:
    """The page as HTML; arguments as in write_report."""
    from markupsafe import Markup

    charts, browser, table = run_charts(result, curve, paragraphs), browser_rows(paragraphs), table_rows(paragraphs)
    where = result.get("environment") or {}
    return rendered(
        "page.html.jinja",
        notes=notes,
        sentence=result_sentence(result),
        attacks=attacks,
        text_table=text_table(result.get("texts") or (), paragraphs),
        text_table_of=((result.get("config") or {}).get("paragraphs") or {}).get("continuation_length"),
        pooled=one_paragraph_at_a_time(result),
        sets=[
            _set_table(name, result["before"].get(name), result["after"].get(name))
            for name in set_names(result["before"], result["after"])
        ],
        samples=SAMPLES_SHOWN,
        figures=figures_of(charts, pictures),
        plots=plots_of(charts),
        mask_sentence=_mask_sentence(result.get("mask"), "were changed" if result.get("done") else "were free to change"),
        grid=mask_grid(result.get("mask")),
        browser=browser,
        browser_data=Markup(printable(embedded_json({"metrics": browser_metrics(), "rows": browser.rows}))),
        table=table,
        table_rows=[_table_row(row) for row in table.rows],
        columns=_table_columns(table.rows),
        command=where.get("command"),
        commit=where.get("commit"),
        facts=_facts(result),
        config=json.dumps(finite_or_null(result.get("config")), indent=2, ensure_ascii=False, default=str),
    )


def figures_of(charts: Sequence[Chart], pictures: Sequence[Picture]) -> list[Figure]:
    """Each chart for a template, with its picture where there is one of its name."""
    png = {picture.name: base64.b64encode(picture.png).decode() for picture in pictures}
    return [Figure(chart.name, png.get(chart.name, ""), chart.alt, chart.caption) for chart in charts]


def plots_of(charts: Sequence[Chart]) -> Markup:
    """What `page.js` draws, by name, as JSON for a script element."""
    from markupsafe import Markup

    return Markup(embedded_json(finite_or_null({chart.name: page_figure(chart) for chart in charts})))


def rendered(template: str, **values: Any) -> str:
    """A page from its template, in which every text is escaped; with style sheet, drawing library and `page.js` in it."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=printable
    )
    scripts = [library(), _page_file("page.js")]
    return environment.from_string(_page_file(template)).render(
        css=Markup(_page_file("page.css")),
        scripts=[Markup(script) for script in scripts],
        script_sources=" ".join(_content_security_hash(script) for script in scripts),
        **values,
    )


def _page_file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _content_security_hash(script: str) -> str:
    """What the page's content security policy calls this script: no other one runs, whatever a text smuggles in."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _set_table(name: str, before: SetStats | None, after: SetStats | None) -> dict[str, Any]:
    rows, clusters = rows_and_clusters(after, before)
    notes = {
        when: note for when, stats in (("before", before), ("after", after)) if (note := (stats or {}).get("interval_note"))
    }
    note = next(iter(notes.values())) if len(set(notes.values())) == 1 and len(notes) == 2 else _by_moment(notes)
    known = [metric for metric in METRICS if is_known(metric, before, after)]
    return {
        "name": name,
        "rows": rows,
        "clusters": clusters,
        "lines": [_line(metric, before, after) for metric in known if not metric.detail],
        "more": [_line(metric, before, after) for metric in known if metric.detail and not is_extraction(metric)],
        "extraction": extraction_grid(before, after),
        "empty": not before and not after,
        "note": note,
    }


def _line(metric: Metric, before: SetStats | None, after: SetStats | None) -> dict[str, str]:
    return {
        "label": metric.label,
        "unit": metric.unit.name + (f", over {part}" if (part := in_part(metric, after, before)) else ""),
        "before": value_text(metric, before),
        "before_interval": interval_text(metric, before),
        "after": value_text(metric, after),
        "after_interval": interval_text(metric, after),
        "change": change_text(metric, before, after),
    }


def _by_moment(notes: Mapping[str, str]) -> str:
    return "; ".join(f"{when}: {note}" for when, note in notes.items())


def _table_columns(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Labels and keys of the table of texts; columns that would be empty, or say the same as another, are left out."""
    prefix = ("prefix", "prefix") if any(row.get("prefix") for row in rows) else ("prefix ends", "prefix_end")
    recited = all(row.get("continuation") in (None, row["continuation_before"]) for row in rows)
    original = [] if recited else [("original", "continuation")]
    alternative = [("asked for", "alternative")] if any(row.get("alternative") is not None for row in rows) else []
    return [prefix, *original, ("before", "continuation_before"), ("after", "continuation_after"), *alternative]


def _table_row(row: Mapping[str, Any]) -> dict[str, Any]:
    lines = []
    for metric in BESIDE_TEXTS:
        was, now = (row.get(column) for column in metric.columns)
        if was is not None and now is not None:
            lines.append(f"{metric.label} {fixed(was, metric.row_digits)} to {fixed(now, metric.row_digits)}")
    return {**row, "lines": lines}


def _mask_sentence(mask: Mapping[str, Any] | None, how: str) -> str:
    if not mask or mask.get("k") is None:
        return ""
    k, eligible = mask["k"], mask.get("eligible")
    if not eligible:
        return f"{k:,} weights {how}."
    return f"{k:,} of {eligible:,} eligible weights ({100 * k / eligible:.3g} %) {how}."


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of everything small that a reader needs to repeat the run."""
    reason = result.get("stopped_because")
    facts = [
        ("seed", str(result.get("seed"))),
        ("steps", str(result.get("steps"))),
        ("stopped because", STOPPED_BECAUSE.get(str(reason), str(reason))),
    ]
    if without := result.get("rows_without_alternative"):
        facts.append(("forget rows without an alternative", ", ".join(map(str, without))))
    for name, seconds in (result.get("seconds") or {}).items():
        facts.append((f"time, {name}", f"{seconds:.1f} s" if isinstance(seconds, int | float) else str(seconds)))
    for name, value in (result.get("environment") or {}).items():
        if name == "command":  # stands by itself, above
            continue
        facts.append((str(name), fact_text(value)))
    return facts


def fact_text(value: Any) -> str:
    """A value of `environment` in a line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {fact_text(one)}" for key, one in value.items())
    return value if isinstance(value, str) else json.dumps(value, default=str)


def printable(value: Any) -> Any:
    """A text without what HTML forbids; anything else as it is."""
    return FORBIDDEN_IN_HTML.sub("\ufffd", value) if type(value) is str else value
