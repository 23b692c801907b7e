"""Which jobs Slurm still has: asked of squeue, since not every Slurm keeps accounts for sacct."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence

POLL = 10.0  # seconds between two questions, which the controller of a busy cluster can bear
NONE_OF_THEM = "Invalid job id"
FORMAT = "%i %T %r"


def queued(jobs: Sequence[str]) -> dict[str, str] | None:
    """What Slurm does with those of these jobs that it has not ended, by name (of an array by task, `17_3`): `running`, or
    `pending (PartitionTimeLimit)`, with Slurm's reason. None where it does not answer."""
    try:
        asked = subprocess.run(
            ["squeue", "--noheader", "--array", f"--format={FORMAT}", f"--jobs={','.join(jobs)}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if asked.returncode:
        return {} if NONE_OF_THEM in asked.stderr else None
    lines = [line.split(maxsplit=2) for line in asked.stdout.splitlines() if line.strip()]
    return {name: _in_words(state, *reason) for name, state, *reason in lines}


def described(states: Mapping[str, str]) -> str:
    """`2 running, 1 pending (Priority)`."""
    return ", ".join(f"{number} {state}" for state, number in sorted(Counter(states.values()).items(), reverse=True))


def _in_words(state: str, reason: str = "None") -> str:
    said = state.lower().replace("_", " ")
    return said if reason == "None" else f"{said} ({reason.strip('()')})"
