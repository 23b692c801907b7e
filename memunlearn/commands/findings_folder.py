"""What `localize.py` leaves in its folder: `localization.json`, a page, tables and figures; and what it goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from memunlearn.caching.keys import Key, digest
from memunlearn.reporting.charts_matplotlib import picture
from memunlearn.reporting.files import write_bytes, write_json, write_parquet, write_text
from memunlearn.reporting.finding import Finding
from memunlearn.reporting.localization_page import localization_page

LOCALIZATION = "localization.json"
PAGE = "localization.html"
_FINDING = TypeAdapter(Finding)


@dataclass(frozen=True)
class Kept:
    """A finding with what it depends on (sha256 of the key) and the seconds that it took."""

    key: str
    seconds: float
    finding: Finding


def read_kept(directory: Path, name: str, key: Key) -> Kept | None:
    """The finding of this analysis in the folder, if it was made from the same; else None (a damaged one is made again)."""
    path = _kept_path(directory, name)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["key"] != digest(key):
            return None
        return Kept(content["key"], content["seconds"], _FINDING.validate_python(content["finding"]))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        print(f"{path} is damaged ({type(error).__name__}): computing {name} again", flush=True)
        return None


def keep(directory: Path, key: Key, seconds: float, finding: Finding) -> Kept:
    """Writes the finding and its tables; from here on it need not be computed again in this folder."""
    for name, columns in finding.tables.items():
        write_parquet(directory / "tables" / f"{name}.parquet", columns)
    kept = Kept(digest(key), seconds, finding)
    content = {"key": kept.key, "seconds": seconds, "finding": _FINDING.dump_python(finding, mode="json")}
    write_json(_kept_path(directory, finding.name), content)
    return kept


def _kept_path(directory: Path, name: str) -> Path:
    return directory / "findings" / f"{name}.json"


def localization_result(
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    kept: Sequence[Kept],
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


def write_findings(directory: Path, result: Mapping[str, Any], findings: Sequence[Finding]) -> None:
    """PNG and PDF of every chart, the page, and last the numbers: where they are, everything is."""
    pictures = [picture(chart) for finding in findings for chart in finding.charts]
    for one in pictures:
        write_bytes(directory / "figures" / f"{one.name}.png", one.png)
        write_bytes(directory / "figures" / f"{one.name}.pdf", one.pdf)
    page = localization_page(findings, pictures, result["config"], result["environment"], result["notes"])
    write_text(directory / PAGE, page)
    write_json(directory / LOCALIZATION, result)
