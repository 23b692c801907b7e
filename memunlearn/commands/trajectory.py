"""trajectory.parquet: every paragraph's scores at each check of the stop rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow

from memunlearn.files.writing import write_parquet
from memunlearn.unlearning.checks import CheckedScores
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.preparation import Preparation

TRAJECTORY = "trajectory.parquet"


def write_trajectory(directory: Path, outcome: Outcome, preparation: Preparation) -> None:
    """Writes the file, or removes that of an earlier run where this one had no stop rule."""
    (directory / TRAJECTORY).unlink(missing_ok=True)
    if outcome.trajectory:
        write_parquet(directory / TRAJECTORY, trajectory_table(outcome.trajectory, preparation))


def trajectory_table(trajectory: Sequence[CheckedScores], preparation: Preparation) -> pyarrow.Table:
    """trajectory.parquet: a row for each check and paragraph, by step, set and index.

    kl is null but for retain_val, longest_common_run but for an edit's forget rows at the checks that decoded them.
    """
    parts = []
    for checked in trajectory:
        for name, columns in checked.sets.items():
            n = len(columns["em"])
            kl = columns["kl"].double().numpy() if "kl" in columns else [None] * n
            common_run = columns["longest_common_run"].numpy() if "longest_common_run" in columns else [None] * n
            parts.append(
                pyarrow.table(
                    {
                        "step": pyarrow.array([checked.step] * n, pyarrow.int64()),
                        "set": pyarrow.array([name] * n, pyarrow.string()),
                        "index": pyarrow.array(range(n), pyarrow.int64()),
                        "cluster": preparation.baselines[name].clusters.numpy(),
                        "em": columns["em"].numpy(),
                        "longest_run": columns["longest_run"].numpy(),
                        "nll": columns["nll"].double().numpy(),
                        "kl": pyarrow.array(kl, pyarrow.float64()),
                        "longest_common_run": pyarrow.array(common_run, pyarrow.int64()),
                    }
                )
            )
    return pyarrow.concat_tables(parts)
