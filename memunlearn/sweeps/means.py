"""Means of runs and of settings, with what can be said about their certainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.statistics.intervals import Interval, Limits, too_few_clusters
from memunlearn.statistics.proportions import share_with_interval
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval, two_level_interval
from memunlearn.statistics.two_way import mean_over_units, why_no_interval
from memunlearn.sweeps.differences import SEEDS_AND_CLUSTERS, SEEDS_AND_TRIALS, SEEDS_ONLY
from memunlearn.sweeps.pairs import Row, rows_of, trials_of
from memunlearn.sweeps.quantities import OF_FORGET, Column, Quantity, columns
from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.sentences import TOO_FEW
from memunlearn.sweeps.settings import Setting, continuation_length

SAME_IN_ALL = "no interval: the same in every seed"
KEPT_STEP = Quantity("kept step", "steps", 1)


@dataclass(frozen=True)
class Mean:
    """A mean over seeds. interval: None where there is none. unit: of the interval, or why there is none."""

    quantity: Quantity
    value: float | None
    interval: Interval | None
    unit: str


@dataclass(frozen=True)
class MemorizedShare:
    """How many forget clusters still hold a memorized paragraph, of how many; exact 95 % interval of the share, None where they
    are too few."""

    hits: int
    clusters: int
    interval: Interval | None


def setting_means(settings: Sequence[Setting]) -> list[tuple[Mean, ...]]:
    """Of each setting: the numbers of `columns` after the runs, and the kept step, over its seeds.

    Where no run has it there is no optional column.
    """
    runs = [run for setting in settings for run in setting.runs]
    shown = [
        column
        for column in columns()
        if not column.is_optional or any(column.mean_after(run.result) is not None for run in runs)
    ]
    return [(*(_mean(setting, column) for column in shown), _kept_step(setting)) for setting in settings]


def mean_of_run(run: Run, column: Column) -> Mean:
    """One run's mean with its interval over clusters (and trials), conditional on this run: that of the run's own result.json.
    The mean alone without its rows."""
    rows = list(rows_of(run, column).values())
    if not rows:
        return Mean(column.quantity, column.mean_after(run.result), None, "no interval: the paragraphs' rows are missing")
    values, clusters, trials = [row.value for row in rows], [row.cluster for row in rows], trials_of(rows)
    value, interval = mean_over_units(values, clusters, trials, run.seed, _limits(run, column))
    if interval is None:
        return Mean(column.quantity, value, None, f"no interval: {why_no_interval(values, clusters, trials)}")
    over = "clusters" if trials is None or list(trials) == clusters else "clusters and trials"
    return Mean(column.quantity, value, interval, f"{over}, conditional on this run")


def memorized_after(run: Run) -> MemorizedShare | None:
    """Forget paragraphs with EM = C after the run, by cluster: rows of a cluster are not independent."""
    rows, length = rows_of(run, OF_FORGET), continuation_length(run)
    if not rows or length is None:
        return None
    recited = {row.cluster for row in rows.values() if row.value >= length}
    clusters = len({row.cluster for row in rows.values()})
    interval = None if too_few_clusters(clusters) else share_with_interval(len(recited), clusters)[1]
    return MemorizedShare(len(recited), clusters, interval)


def _limits(run: Run, column: Column) -> Limits:
    """What the number of a paragraph can be, in the unit of tables."""
    unit = column.metric.unit
    least, most = unit.limits(continuation_length(run))
    return unit.scale * least, unit.scale * most


def _mean(setting: Setting, column: Column) -> Mean:
    known = [(run, value) for run in setting.runs if (value := column.mean_after(run.result)) is not None]
    if not known:
        return Mean(column.quantity, None, None, "")
    if len(known) == 1:
        return mean_of_run(known[0][0], column)
    values = [value for _, value in known]
    if len(known) < SEEDS_AT_LEAST:
        return Mean(column.quantity, math.fsum(values) / len(values), None, TOO_FEW)
    limits = _limits(known[0][0], column)
    rows = [list(rows_of(run, column).values()) for run, _ in known]
    if not all(rows):
        return _over_seeds(column.quantity, values, limits)
    mean, interval = two_level_interval([([row.value for row in of_run], _units(of_run)) for of_run in rows], limits=limits)
    if interval is None:
        return Mean(column.quantity, mean, None, SAME_IN_ALL)
    return Mean(column.quantity, mean, interval, SEEDS_AND_TRIALS if trials_of(rows[0]) else SEEDS_AND_CLUSTERS)


def _units(rows: Sequence[Row]) -> Sequence[int]:
    """What is resampled within a seed: the clusters of trials, or of rows."""
    return trials_of(rows) or [row.cluster for row in rows]


def _kept_step(setting: Setting) -> Mean:
    steps = [float(step) for run in setting.runs if (step := run.kept_step) is not None]
    if len(steps) >= SEEDS_AT_LEAST:
        return _over_seeds(KEPT_STEP, steps, (0.0, math.inf))
    return Mean(KEPT_STEP, math.fsum(steps) / len(steps) if steps else None, None, TOO_FEW if len(steps) > 1 else "")


def _over_seeds(quantity: Quantity, values: Sequence[float], limits: Limits) -> Mean:
    mean, interval = mean_interval(values, limits)
    return Mean(quantity, mean, interval, SEEDS_ONLY if interval else SAME_IN_ALL)
