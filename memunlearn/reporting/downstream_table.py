"""What the tasks of lm-evaluation-harness say of both models, on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memunlearn.results.tables import MISSING
from memunlearn.words import fixed, signed, signed_to

DIGITS = 3


def print_downstream(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints a line a metric; found: as under `lm_eval` in `evaluation.json`."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.caption = f"lm-evaluation-harness {found['version']}; change: 95 % interval over documents in brackets"
    table.caption_justify = "left"
    table.add_column("task")
    table.add_column("metric")
    for name in ("n", "base", "unlearned", "change"):
        table.add_column(name, justify="right")
    for row in found["tasks"]:
        metric = row["metric"] if row["filter"] == "none" else f"{row['metric']}, {row['filter']}"
        documents = MISSING if row["n"] is None else f"{row['n']:,}"
        table.add_row(Text(row["task"]), Text(metric), documents, _value(row["base"]), _value(row["unlearned"]), _change(row))
    console = console or Console()
    console.print(table, "", sep="\n")


def _value(score: Mapping[str, Any] | None) -> str:
    return MISSING if score is None else fixed(score["value"], DIGITS)


def _change(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return MISSING
    interval = row["difference_ci"]
    return signed(row["difference"], DIGITS) + ("" if interval is None else f" [{signed_to(interval, DIGITS)}]")
