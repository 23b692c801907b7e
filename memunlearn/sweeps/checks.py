"""A run's checks along its steps, and what two runs have in common: a step, or a level of forget EM."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from memunlearn.sweeps.run_files import Trajectory
from memunlearn.sweeps.runs import Run


@dataclass(frozen=True)
class CheckMeans:
    """Means at one check: EM in tokens, KL in nats per token; None where it was not measured."""

    step: int
    forget_em: float | None
    retain_val_kl: float | None
    bystander_val_em: float | None


@dataclass(frozen=True)
class Crossing:
    """Where forget EM first reaches a level, between two checks: step, KL and EM interpolated in forget EM."""

    step: float
    retain_val_kl: float | None
    bystander_val_em: float | None


def checks_of(run: Run, forget_rows: Collection[int] | None = None) -> tuple[CheckMeans, ...]:
    """The checks of a run by step, the base model (step 0) first.

    forget_rows: forget EM over the paragraphs with these indices only, which needs the run's trajectory (else no checks).
    Without a trajectory the checks are those of metrics.csv, and step 0 knows no bystander_val EM.
    """
    if run.trajectory is not None:
        return _of_trajectory(run.trajectory, forget_rows)
    return () if forget_rows is not None else _of_curve(run)


def equal_step(a: Sequence[CheckMeans], b: Sequence[CheckMeans]) -> int | None:
    """The largest step that both have a check at; None where there is none after the base model."""
    common = {check.step for check in a} & {check.step for check in b} - {0}
    return max(common, default=None)


def at_step(checks: Sequence[CheckMeans], step: int) -> CheckMeans:
    return next(check for check in checks if check.step == step)


def at_level(checks: Sequence[CheckMeans], level: float) -> Crossing | None:
    """The first time forget EM is at or below the level (tokens), linear between the two checks around it; None if never.

    None too where the first check is there already: nothing had to be forgotten.
    """
    known = [check for check in checks if check.forget_em is not None]
    for earlier, later in pairwise(known):
        assert earlier.forget_em is not None and later.forget_em is not None
        if earlier.forget_em <= level:
            return None
        if later.forget_em <= level:
            share = (earlier.forget_em - level) / (earlier.forget_em - later.forget_em)
            step = earlier.step + share * (later.step - earlier.step)
            return Crossing(
                step,
                _between(earlier.retain_val_kl, later.retain_val_kl, share),
                _between(earlier.bystander_val_em, later.bystander_val_em, share),
            )
    return None


def levels(length: int) -> tuple[float, ...]:
    """The levels of forget EM at which runs are compared: half, a fifth and a tenth of C (25, 10 and 5 of 50)."""
    return (length / 2, length / 5, length / 10)


def rows_at_step(trajectory: Trajectory, name: str, step: int) -> dict[int, tuple[int, float, float]]:
    """Of one set at one check, by index: cluster, EM, KL (NaN where it was not measured)."""
    chosen = (trajectory.step == step) & (trajectory.set == name)
    columns = (trajectory.index, trajectory.cluster, trajectory.em, trajectory.kl)
    return {index: (cluster, em, kl) for index, cluster, em, kl in zip(*(c[chosen].tolist() for c in columns), strict=True)}


def _of_curve(run: Run) -> tuple[CheckMeans, ...]:
    forget = (run.result.get("before") or {}).get("forget") or {}
    found = {0: CheckMeans(0, forget.get("em"), 0.0, None)}
    for row in run.curve:
        if "check/forget_em" in row and "step" in row:
            step = int(row["step"])
            values = (row["check/forget_em"], row.get("check/retain_val_kl"), row.get("check/bystander_val_em"))
            found[step] = CheckMeans(step, *(value if value is not None and math.isfinite(value) else None for value in values))
    return tuple(found[step] for step in sorted(found)) if len(found) > 1 else ()


def _of_trajectory(trajectory: Trajectory, forget_rows: Collection[int] | None) -> tuple[CheckMeans, ...]:
    forget = trajectory.set == "forget"
    if forget_rows is not None:
        forget &= np.isin(trajectory.index, list(forget_rows))
    parts = (
        (forget, trajectory.em),
        (trajectory.set == "retain_val", trajectory.kl),
        (trajectory.set == "bystander_val", trajectory.em),
    )
    return tuple(
        CheckMeans(int(step), *(_mean(values[chosen & (trajectory.step == step)]) for chosen, values in parts))
        for step in np.unique(trajectory.step)
    )


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) and np.isfinite(values).all() else None


def _between(earlier: float | None, later: float | None, share: float) -> float | None:
    return None if earlier is None or later is None else earlier + share * (later - earlier)
