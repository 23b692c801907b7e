"""`report.html`: one page that needs no network, from the plain results of a run."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from memunlearn.reporting.figures import em_before_after, training_curves
from memunlearn.reporting.files import finite_or_null, write_text
from memunlearn.reporting.sentence import STOPPED_BECAUSE, one_paragraph_at_a_time, result_sentence
from memunlearn.reporting.tables import ALL_METRICS, rows_and_clusters, set_names

TEXTS_AT_MOST = 200
# Control characters that HTML forbids, even as references; tab, newline and carriage return are fine.
FORBIDDEN_IN_HTML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Figure:
    """A PNG as base64, what it shows in a sentence (alt text), and the line under it."""

    png: str
    alt: str
    caption: str


def write_report(
    path: str | os.PathLike[str],
    result: Mapping[str, Any],
    curve: Sequence[Mapping[str, float]],
    paragraphs: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> None:
    """Writes one self-contained HTML page, atomically.

    result: as in `result.json`. curve: rows of `metrics.csv` (see figures.training_curves), may be empty.
    paragraphs: rows of `paragraphs.parquet`: `set`, `index`, `em_before`, `em_after`, and for forget rows with text
    `prefix_end`, `continuation_before`, `continuation_after`, and `alternative` for edits. notes: shown at the top.
    """
    write_text(path, report(result, curve, paragraphs, notes))


def report(
    result: Mapping[str, Any],
    curve: Sequence[Mapping[str, float]],
    paragraphs: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> str:
    """The page as HTML; arguments as in write_report."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    template = environment.from_string(resources.files(__package__).joinpath("page.html.jinja").read_text("utf-8"))
    texts = [row for row in paragraphs if row.get("set") == "forget" and row.get("continuation_after") is not None]
    kinds, layers = component_grid((result.get("mask") or {}).get("per_component") or {})
    return template.render(
        notes=notes,
        sentence=result_sentence(result),
        pooled=one_paragraph_at_a_time(result),
        sets=[
            _set_table(name, result["before"].get(name), result["after"].get(name))
            for name in set_names(result["before"], result["after"])
        ],
        figures=_figures(curve, paragraphs),
        mask=_mask_sentence(result.get("mask")),
        kinds=kinds,
        layers=layers,
        texts=texts[:TEXTS_AT_MOST],
        number_of_texts=len(texts),
        with_alternative=any(row.get("alternative") is not None for row in texts[:TEXTS_AT_MOST]),
        facts=_facts(result),
        config=json.dumps(finite_or_null(result.get("config")), indent=2, ensure_ascii=False, default=str),
    )


def component_grid(per_component: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Kinds of component, and for every layer its name and a count per kind, from counts named `<layer>.<kind>`.

    Nested counts ({layer: {kind: count}}) say the same. A name without a dot is a kind of its own, in no layer.
    """
    counts: dict[str, dict[str, int]] = {}
    for name, value in per_component.items():
        layer, dot, kind = str(name).rpartition(".")
        parts = value if isinstance(value, Mapping) else {kind: value}
        counts.setdefault(str(name) if isinstance(value, Mapping) else (layer if dot else "-"), {}).update(parts)
    kinds = list(dict.fromkeys(kind for row in counts.values() for kind in row))
    ordered = sorted(counts, key=lambda layer: (not layer.isdigit(), int(layer) if layer.isdigit() else 0, layer))
    return kinds, [(layer, [f"{counts[layer].get(kind, 0):,}" for kind in kinds]) for layer in ordered]


def _set_table(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any]:
    rows, clusters = rows_and_clusters(after, before)
    lines = [
        {
            "label": metric.label,
            "unit": metric.unit,
            "before": metric.value(before),
            "before_interval": metric.interval(before),
            "after": metric.value(after),
            "after_interval": metric.interval(after),
            "change": metric.change(before, after),
        }
        for metric in ALL_METRICS
        if metric.known(before, after)
    ]
    return {"name": name, "rows": rows, "clusters": clusters, "lines": lines, "empty": not before and not after}


def _figures(curve: Sequence[Mapping[str, float]], paragraphs: Sequence[Mapping[str, Any]]) -> list[Figure]:
    strips = em_before_after(
        [row for row in paragraphs if row.get("em_before") is not None and row.get("em_after") is not None]
    )
    lines = training_curves(curve)
    figures = []
    if strips:
        alt = "EM of every paragraph before and after, a strip per set with its mean. The means are in the table of results."
        figures.append(Figure(base64.b64encode(strips).decode(), alt, "EM of every paragraph, before and after"))
    if lines:
        alt = (
            "Over training steps: forget EM and longest run, bystander_val EM (all in tokens); retain_val KL in nats per token."
        )
        figures.append(Figure(base64.b64encode(lines).decode(), alt, "Scores during training"))
    return figures


def _mask_sentence(mask: Mapping[str, Any] | None) -> str:
    if not mask or mask.get("k") is None:
        return ""
    k, eligible = mask["k"], mask.get("eligible")
    if not eligible:
        return f"{k:,} weights were free to change."
    return f"{k:,} of {eligible:,} eligible weights ({100 * k / eligible:.3g} %) were free to change."


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of everything small that a reader needs to repeat the run."""
    reason = result.get("stopped_because")
    facts = [
        ("seed", str(result.get("seed"))),
        ("steps", str(result.get("steps"))),
        ("stopped because", STOPPED_BECAUSE.get(str(reason), str(reason))),
    ]
    for name, seconds in (result.get("seconds") or {}).items():
        facts.append((f"time, {name}", f"{seconds:.1f} s" if isinstance(seconds, int | float) else str(seconds)))
    for name, value in (result.get("environment") or {}).items():
        facts.append((str(name), value if isinstance(value, str) else json.dumps(value, default=str)))
    return facts


def _printable(value: Any) -> Any:
    return FORBIDDEN_IN_HTML.sub("\ufffd", value) if type(value) is str else value
