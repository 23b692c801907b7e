"""What the commands print: tables that fit 80 columns and say everything without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memunlearn.results.finding import Finding
from memunlearn.results.tables import (
    MISSING,
    Sets,
    SetStats,
    change_text,
    in_part,
    is_known,
    rows_and_clusters,
    set_names,
    value_text,
)
from memunlearn.scoring.metric import FromText, Metric, OfAlternatives, ShareOfRows
from memunlearn.scoring.metrics import METRICS, metrics_from

PREFIX_CHARACTERS = 160


def print_comparison(before: Sets, after: Sets, console: Console | None = None) -> None:
    """Prints every set x metric before and after, and the change. `before`, `after`: as in `result.json`.

    A mean over a part of a set's rows stands below the table, with how many these are.
    """
    metrics = _columns()
    table = _table("", *metrics)
    below = []
    for name in set_names(before, after):
        old, new = before.get(name), after.get(name)
        if not old and not new:
            table.add_row(Text(name, style="bold"), "empty", end_section=True)
            continue
        rows, clusters = rows_and_clusters(new, old)
        cells = {metric: _cells(metric, old, new) for metric in (*metrics, *_alternatives())}
        in_parts = [metric for metric in metrics if in_part(metric, new, old)]
        shown = [(MISSING,) * 3 if metric in in_parts else cells[metric] for metric in metrics]
        table.add_row(Text(name, style="bold"), "before", *(was for was, _, _ in shown))
        table.add_row(rows, "after", *(now for _, now, _ in shown), style="bold")
        table.add_row(clusters, "change", *(change for _, _, change in shown), end_section=True)
        for metric in (*in_parts, *_alternatives()):
            if is_known(metric, old, new):
                was, now, change = cells[metric]
                over = f" over {part}" if (part := in_part(metric, new, old)) else ""
                below.append(f"{name}, {metric.label}{over}: {was} -> {now} {metric.unit.name} ({change})")
    console = console or Console()
    console.print(table, *map(Text, below), "", sep="\n")


def print_evaluation(sets: Sets, bins: Mapping[str, int], console: Console | None = None) -> None:
    """Prints every set x metric of one model, and how many rows fall into each EM bin.

    sets: a set's dict (or None) by name, as in `evaluation.json`; bins: counts by label, such as {"0-10": 12}, in order.
    """
    metrics = [metric for metric in _columns() if not isinstance(metric.source, FromText)]  # nothing is decoded here
    table = _table("rows", *metrics)
    for name in set_names(sets):
        stats = sets[name]
        if stats is None:
            table.add_row(Text(name, style="bold"), "empty", end_section=True)
            continue
        rows, clusters = rows_and_clusters(stats)
        table.add_row(Text(name, style="bold"), rows.split()[0], *(value_text(metric, stats) for metric in metrics))
        table.add_row(clusters, "", end_section=True)
    alternatives = [
        f"{name}, {metric.label}: {value_text(metric, stats)} {metric.unit.name}"
        for name, stats in sets.items()
        for metric in _alternatives()
        if is_known(metric, stats)
    ]
    console = console or Console()
    console.print(table, *map(Text, alternatives), "", sep="\n")

    total = sum(bins.values())
    if total:
        counts = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        counts.add_column("EM bin, tokens")
        counts.add_column("rows", justify="right")
        counts.add_column("%", justify="right")
        for label, count in bins.items():
            counts.add_row(Text(label), f"{count:,}", f"{100 * count / total:.1f}")
        console.print(counts, "")


def print_examples(rows: Sequence[Mapping[str, Any]], console: Console | None = None, limit: int = 3) -> None:
    """Prints what the model said before and after for the first `limit` rows that hold text.

    rows: as in `paragraphs.parquet`: `set`, `index`, `prefix_end` (the end of the prefix), `continuation_before`,
    `continuation_after`; where there is one `alternative`; `em_before` and `em_after` are shown where they are there.
    """
    console = console or Console()
    for row in [row for row in rows if row.get("continuation_after") is not None][:limit]:
        em = f", EM {row['em_before']} before, {row['em_after']} after" if "em_before" in row and "em_after" in row else ""
        console.print(Text(f"{row.get('set', 'forget')} {row.get('index', '')}{em}", style="bold"))
        texts = Table.grid(padding=(0, 2))
        texts.add_column(no_wrap=True)
        texts.add_column(overflow="fold")
        prefix = visible(row.get("prefix_end") or "", console.encoding)
        texts.add_row("prefix", Text("..." + prefix[-PREFIX_CHARACTERS:] if len(prefix) > PREFIX_CHARACTERS else prefix))
        for label, key in (("before", "continuation_before"), ("after", "continuation_after"), ("asked for", "alternative")):
            if row.get(key) is not None:
                texts.add_row(label, Text(visible(row[key], console.encoding)))
        console.print(Padding(texts, (0, 0, 1, 2)))


def print_findings(findings: Sequence[Finding], console: Console | None = None) -> None:
    """What each analysis shows, in its own sentences."""
    console = console or Console()
    for finding in findings:
        console.print(Text(finding.title, style="bold"))
        for sentence in (*finding.sentences, *finding.notes):
            console.print(Padding(Text(visible(sentence, console.encoding)), (0, 0, 0, 2)))
        console.print()


def visible(text: str, encoding: str = "utf-8") -> str:
    """The text on one line; what a terminal would obey, or cannot show, is written as an escape: a newline is `\\n`."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return escaped.encode(encoding, errors="backslashreplace").decode(encoding)


def _columns() -> list[Metric]:
    """Metrics that have a column, shares last."""
    shown = [metric for metric in METRICS if metric.in_terminal]
    return sorted(shown, key=lambda metric: isinstance(metric.source, ShareOfRows))


def _cells(metric: Metric, old: SetStats | None, new: SetStats | None) -> tuple[str, str, str]:
    return value_text(metric, old), value_text(metric, new), change_text(metric, old, new)


def _alternatives() -> list[Metric]:
    return [metric for metric, _ in metrics_from(OfAlternatives)]


def _table(second_header: str, *metrics: Metric) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
        caption="nats: per token; %: of rows",
        caption_justify="left",
    )
    table.add_column("set", no_wrap=True)
    table.add_column(second_header, no_wrap=True, justify="right" if second_header else "left")
    for metric in metrics:
        # A word a line, so that all of them fit.
        table.add_column("\n".join([*metric.label.split(), metric.unit.name.split()[0]]), justify="right", vertical="bottom")
    return table
