"""Which jobs Slurm still has: asked of squeue, since not every Slurm keeps accounts for sacct."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

POLL = 10.0  # seconds between two questions, which a controller of a busy cluster can bear
NONE_OF_THEM = "Invalid job id"


def queued(jobs: Sequence[str]) -> set[str] | None:
    """The names of those of these jobs, of an array those of its tasks (`17_3`), that wait, run, or end; None where Slurm does
    not answer."""
    try:
        asked = subprocess.run(
            ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(jobs)}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if asked.returncode == 0:
        return set(asked.stdout.split())
    return set() if NONE_OF_THEM in asked.stderr else None
