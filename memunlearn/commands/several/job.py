"""What the first process of a run and the others tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY = b"ready\n"
"""On stdout: it can join the others."""

MISTAKE, FAULT = 2, 1
"""Exit codes: after a mistake that the user can mend, whose line is all that stands on stderr; after any other error."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """number: of the process, from 1, among `count`. config: the run's, resolved. directory: the run's folder. resume_from: a
    checkpoint, or None. device: the process's. preparation: the file with what is known of the base model. folder: for large
    files of its own. meeting: the file by which the processes meet."""

    number: int
    count: int
    config: dict[str, Any]
    directory: Path
    resume_from: Path | None
    device: str
    preparation: Path
    folder: Path
    meeting: Path
