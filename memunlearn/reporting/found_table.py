"""What `memunlearn find` prints: a table of the texts that fits 80 columns, and where each recited span stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memunlearn.reporting.terminal import visible
from memunlearn.results.found import answer, best_of, measures_p_z, place, recall_sentence, samples_text

SHOWN = 20
"""Lines of the table at most; recited texts come first."""
LONGEST_NAME = 28


def print_found(result: Mapping[str, Any], console: Console | None = None) -> None:
    """result: as in `find.json`."""
    console = console or Console()
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("text", max_width=LONGEST_NAME, no_wrap=True, overflow="ellipsis")
    table.add_column("recited", no_wrap=True)
    for title in ("EM", "longest\nrun", "samples"):
        table.add_column(title, justify="right", no_wrap=True, vertical="bottom")
    lines = [line for text in best_of(result["texts"]) for line in _lines(text, console.encoding, measures_p_z(result))]
    for line in lines[:SHOWN]:
        table.add_row(*line)
    more = [f"and {len(lines) - SHOWN} more lines: spans.csv has them all"] if len(lines) > SHOWN else []
    said = [answer(result), *([] if (recall := recall_sentence(result)) is None else [recall]), *result["notes"]]
    console.print(table, *(Text(line) for line in more), *(Text(visible(line, console.encoding)) for line in said), sep="\n")


def _lines(text: Mapping[str, Any], encoding: str, measured: bool) -> list[Sequence[str | Text]]:
    name = Text(visible(text["name"], encoding))
    if not text["spans"]:
        return [(name, text["kind"], *_numbers(text, measured))]
    return [(name if not number else "", place(span), *_numbers(span, measured)) for number, span in enumerate(text["spans"])]


def _numbers(of: Mapping[str, Any], measured: bool) -> tuple[str, str, str]:
    if of["em"] is None:
        return "-", "-", "-"
    return str(of["em"]), str(of["longest_run"]), samples_text(of["log_p_z"], measured)
