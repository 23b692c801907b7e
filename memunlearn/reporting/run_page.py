"""A run's figures and its page, from what its folder holds: written by the run, or again later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memunlearn.charts.files import picture, write_pictures
from memunlearn.errors import UserError
from memunlearn.reporting.attacks_page import PAGE, write_attacks_page
from memunlearn.reporting.page import write_report
from memunlearn.results.attacks.content import ATTACKS
from memunlearn.results.curve import read_curve
from memunlearn.results.figures import run_charts

REPORT = "report.html"


def write_run_page(
    directory: Path,
    result: Mapping[str, Any],
    curve: Sequence[Mapping[str, float]],
    paragraphs: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
) -> list[Path]:
    """`figures/` and `report.html`, with a link to `attacks.html` where attacks.json is there; arguments as for
    `page.write_report`. Returns what was written."""
    pictures = [picture(chart) for chart in run_charts(result, curve, paragraphs)]
    write_pictures(directory / "figures", pictures)
    attacks = PAGE if (directory / ATTACKS).is_file() else None
    write_report(directory / REPORT, result, curve, paragraphs=paragraphs, notes=notes, pictures=pictures, attacks=attacks)
    return [directory / "figures", directory / REPORT]


def rewrite_run_page(directory: Path) -> list[Path]:
    """The same from the files of a complete run, and `attacks.html` if it was attacked. Raises UserError where one of them
    cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        result = json.loads((directory / "result.json").read_text("utf-8"))
        rows = pyarrow.parquet.read_table(directory / "paragraphs.parquet").to_pylist()
        curve = read_curve(directory / "metrics.csv")
    except (OSError, ValueError, RecursionError, pyarrow.ArrowException) as error:
        raise UserError(f"{directory}: a file of the run cannot be read ({error}): copy the folder again") from error
    attacks = write_attacks_page(directory) if (directory / ATTACKS).is_file() else []
    return [*write_run_page(directory, result, curve, rows, result.get("notes", [])), *attacks]
