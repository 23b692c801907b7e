"""trajectory.parquet: every paragraph's scores at each check of the stop rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow
from torch import Tensor

from memunlearn.files.writing import write_parquet
from memunlearn.scoring.metric import FromPass, FromPassAndBase, FromText, Metric
from memunlearn.scoring.metrics import METRICS
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
    """trajectory.parquet: a row for each check and paragraph, by step, set and index, with the metrics of the pass and of
    decoded text.

    What compares with the base model is null but for retain_val, what needs text but for an edit's forget rows at the checks
    that decoded them.
    """
    kinds = ((FromPass, FromPassAndBase), FromText)
    metrics = [metric for kind in kinds for metric in METRICS if isinstance(metric.source, kind) and not metric.detail]
    parts = []
    for checked in trajectory:
        for name, columns in checked.sets.items():
            n = len(columns["em"])
            parts.append(
                pyarrow.table(
                    {
                        "step": pyarrow.array([checked.step] * n, pyarrow.int64()),
                        "set": pyarrow.array([name] * n, pyarrow.string()),
                        "index": pyarrow.array(range(n), pyarrow.int64()),
                        "cluster": preparation.baselines[name].clusters.numpy(),
                        **{metric.key: _column(metric, columns.get(metric.key), n) for metric in metrics},
                    }
                )
            )
    return pyarrow.concat_tables(parts)


def _column(metric: Metric, values: Tensor | None, n: int) -> pyarrow.Array:
    if metric.unit.whole:
        return pyarrow.array([None] * n if values is None else values.numpy(), pyarrow.int64())
    return pyarrow.array([None] * n if values is None else values.double().numpy(), pyarrow.float64())
