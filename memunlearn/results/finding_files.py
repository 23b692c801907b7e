"""A finding as a file: what `localize.py` goes on with, and what pages are made of again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from memunlearn.errors import UserError
from memunlearn.files.reading import parse_json
from memunlearn.files.writing import write_json
from memunlearn.results.finding import Finding

FINDINGS = "findings"
_FINDING = TypeAdapter(Finding)


@dataclass(frozen=True)
class KeptFinding:
    """key: sha256 of everything that it depends on. seconds: what it took."""

    key: str
    seconds: float
    finding: Finding


def write_finding(directory: Path, kept: KeptFinding) -> None:
    """`findings/<name>.json` in a run's folder."""
    content = {"key": kept.key, "seconds": kept.seconds, "finding": _FINDING.dump_python(kept.finding, mode="json")}
    write_json(finding_path(directory, kept.finding.name), content)


def read_finding(path: Path) -> KeptFinding:
    """Raises UserError if the file is not there, or not what `write_finding` wrote."""
    try:
        content = parse_json(path.read_text("utf-8"))
        return KeptFinding(str(content["key"]), float(content["seconds"]), _FINDING.validate_python(content["finding"]))
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{path} is not a finding that can be read ({type(error).__name__}): run the analysis again") from error


def finding_path(directory: Path, name: str) -> Path:
    return directory / FINDINGS / f"{name}.json"
