"""What `localize.py` leaves in its folder: `localization.json`, a page, tables and figures; and what it goes on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memunlearn.caching.keys import Key, digest
from memunlearn.charts.files import picture, write_pictures
from memunlearn.commands.afterwards import Afterwards
from memunlearn.commands.sweep_folder import LOCALIZATION
from memunlearn.errors import UserError
from memunlearn.files.writing import write_json, write_parquet, write_text
from memunlearn.reporting.localization_page import localization_page
from memunlearn.results.finding import Finding
from memunlearn.results.finding_files import KeptFinding, finding_path, read_finding, write_finding

PAGE = "localization.html"


def read_kept(directory: Path, name: str, key: Key) -> KeptFinding | None:
    """The finding of this analysis in the folder, if it was made from the same; else None (a damaged one is made again)."""
    path = finding_path(directory, name)
    if not path.is_file():
        return None
    try:
        kept = read_finding(path)
    except UserError as error:
        print(error, flush=True)
        return None
    return kept if kept.key == digest(key) else None


def keep(directory: Path, key: Key, seconds: float, finding: Finding) -> KeptFinding:
    """Writes the finding; from here on it need not be computed again in this folder."""
    kept = KeptFinding(digest(key), seconds, finding)
    write_finding(directory, kept)
    return kept


def localization_result(
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    kept: Sequence[KeptFinding],
    failed: Mapping[str, str],
    notes: Sequence[str],
) -> dict[str, Any]:
    """The content of `localization.json`."""
    return {
        "schema": 1,
        "config": config,
        "environment": environment,
        "seed": config["seed"],
        "notes": list(notes),
        "analyses": {
            one.finding.name: {
                "title": one.finding.title,
                "sentences": list(one.finding.sentences),
                "unit": one.finding.unit,
                "numbers": one.finding.numbers,
                "notes": list(one.finding.notes),
                "tables": sorted(one.finding.tables),
                "figures": [chart.name for chart in one.finding.charts],
                "seconds": one.seconds,
            }
            for one in kept
        },
        "failed": dict(failed),
    }


def write_findings(directory: Path, result: Mapping[str, Any], findings: Sequence[Finding], afterwards: Afterwards) -> None:
    """Tables and figures, in place of all that were there, the page, and last the numbers.

    Where they are, everything is, but for figures and a page that could not be made: these are left to `afterwards`.
    """
    tables = {name: columns for finding in findings for name, columns in finding.tables.items()}
    for old in (directory / "tables").glob("*.parquet"):
        if old.stem not in tables:
            old.unlink()
    for name, columns in tables.items():
        write_parquet(directory / "tables" / f"{name}.parquet", columns)
    with afterwards.attempt(f"figures or {PAGE} were not written: run the command again, what was found is kept in the folder"):
        pictures = [picture(chart) for finding in findings for chart in finding.charts]
        write_pictures(directory / "figures", pictures)
        page = localization_page(findings, pictures, result["config"], environment=result["environment"], notes=result["notes"])
        write_text(directory / PAGE, page)
    write_json(directory / LOCALIZATION, result)
