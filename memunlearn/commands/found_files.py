"""What `memunlearn find` leaves beside its page: `spans.csv` for a spreadsheet, `windows.parquet` for whoever computes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from memunlearn.errors import UserError
from memunlearn.files.writing import write_bytes, write_parquet
from memunlearn.paragraphs.token_texts import TokenText
from memunlearn.recitation.find import Reading
from memunlearn.reporting.found_texts import FoundText
from memunlearn.results.samples import p_z_of, samples_of

SPANS = "spans.csv"
WINDOWS = "windows.parquet"
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    *("text", "status", "from character", "to character", "from token", "to token", "exact match (EM)", "of", "longest run"),
    *("p_z", "samples"),
)


def write_spans(path: Path, texts: Sequence[FoundText], length: int, *, show_texts: bool) -> None:
    """A line for each recited span, and one for each text without one: its best window's numbers, and no place.

    length: C. Characters and tokens are counted from 1, the last one included. A cell that a spreadsheet would take for a
    formula gets a ' in front (CWE-1236). UTF-8 with a byte order mark, which Excel needs to know it by.
    """
    own = sorted({title for text in texts for title in text.entry["columns"]})
    written = io.StringIO(newline="")
    table = csv.writer(written)
    table.writerow(map(_cell, [*COLUMNS, *["recited words"] * show_texts, *own]))
    for text in texts:
        of_text = [text.entry["columns"].get(title) for title in own]
        spans = list(zip(text.entry["spans"], text.words, strict=True)) or [(None, "")]
        for span, words in spans:
            line = [text.entry["name"], text.entry["kind"], *_place(span), *_numbers(span or text.entry, length)]
            table.writerow(map(_cell, [*line, *[words] * show_texts, *of_text]))
    write_bytes(path, written.getvalue().encode("utf-8-sig", errors="replace"))


def write_windows(path: Path, readings: Sequence[Reading], length: int, least: int) -> None:
    """A row for each window that was scored. length: C. least: EM from which it counts as recited."""
    names = ("text", "start", "end_token", "first_character", "end_character", "em", "longest_run", "nll", "log_p_z", "recited")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for reading in readings:
        scores, number = reading.scores, len(reading.starts)
        places = [reading.text.span(start, start + length) for start in reading.starts]
        log_p_z = scores.values.get("log_p_z")
        columns["text"] += [reading.text.name] * number
        columns["start"] += reading.starts
        columns["end_token"] += [start + length for start in reading.starts]
        columns["first_character"] += [first for first, _ in places]
        columns["end_character"] += [end for _, end in places]
        columns["em"] += scores.em.tolist()
        columns["longest_run"] += scores.values["longest_run"].tolist() if number else []
        columns["nll"] += scores.nll.tolist()
        columns["log_p_z"] += [None] * number if log_p_z is None else log_p_z.tolist()
        columns["recited"] += (scores.em >= least).tolist()
    write_parquet(path, columns)


def check_windows(folder: Path) -> None:
    """Raises UserError where this is no folder of an earlier search."""
    if not (folder / WINDOWS).is_file():
        raise UserError(f"windows={folder}: there is no {WINDOWS} in it: give the folder of an earlier memunlearn find")


def scored_windows(folder: Path, texts: Sequence[TokenText]) -> list[list[int]]:
    """For each text the starts of the windows that an earlier search scored. Raises UserError where its file cannot be read
    or knows a text as a longer one."""
    try:
        table = pyarrow.parquet.read_table(folder / WINDOWS, columns=["text", "start", "end_token"]).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"windows: {folder / WINDOWS} cannot be read ({error}): search again with memunlearn find") from error
    starts: dict[str, list[int]] = {}
    for row in table:
        starts.setdefault(row["text"], []).append(row["start"])
    ends = {row["text"]: row["end_token"] for row in table}
    for text in texts:
        if ends.get(text.name, 0) > len(text):
            raise UserError(f"windows: {folder} is of other texts: {text.name} was longer then")
    return [starts.get(text.name, []) for text in texts]


def _place(span: Mapping[str, Any] | None) -> list[int | None]:
    if span is None:
        return [None] * 4
    first, end = span["first_character"], span["end_character"]
    return [None if first is None else first + 1, end, span["start"] + 1, span["end"]]


def _numbers(of: Mapping[str, Any], length: int) -> list[Any]:
    if of["em"] is None:
        return [None] * 5
    return [of["em"], length, of["longest_run"], p_z_of(of["log_p_z"]), samples_of(of["log_p_z"])]


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
