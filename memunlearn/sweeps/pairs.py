"""The two runs of a seed, row by row where they have the same paragraphs: what a paired difference is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from memunlearn.sweeps.checks import CheckMeans, Crossing, at_level, at_step, checks_of, equal_step, rows_at_step
from memunlearn.sweeps.differences import PairedRuns
from memunlearn.sweeps.quantities import Column
from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.settings import Setting, seed_name


class Row(NamedTuple):
    """A paragraph's value, its cluster and, one paragraph at a time, the cluster of the paragraph that its trial was about."""

    value: float
    cluster: int
    trial: int | None = None


Rows = dict[tuple[Any, ...], Row]


@dataclass(frozen=True)
class RunPair:
    """The runs a and b of one seed. forget_rows: indices of the forget paragraphs to compare over; None for all.

    by_row: whether their paragraphs are the same, so that rows can be paired and not only means.
    """

    seed: str
    a: Run
    b: Run
    forget_rows: frozenset[int] | None
    by_row: bool


def run_pairs(a: Setting, b: Setting, by_row: bool, with_alternative: bool) -> list[RunPair]:
    """Runs with equal seeds. with_alternative: over forget paragraphs for which b (an edit) found an alternative."""
    by_seed = {seed_name(run): run for run in b.runs}
    pairs = []
    for run in a.runs:
        other = by_seed.get(seed_name(run))
        if other is not None:
            rows = _with_alternative(other) if with_alternative else None
            pairs.append(RunPair(seed_name(run), run, other, rows, by_row))
    return pairs


def at_the_end(pairs: Sequence[RunPair], column: Column) -> list[PairedRuns]:
    """The kept states, paired by row; where that cannot be done for every pair, the means of result.json, pairs without them
    left out."""
    by_row = [_by_row(pair, rows_of(pair.a, column), rows_of(pair.b, column), column.set) for pair in pairs]
    if by_row and all(pair is not None for pair in by_row):
        return [pair for pair in by_row if pair is not None]
    return _of_runs(pairs, lambda run: column.mean_after(run.result))


def kept_steps(pairs: Sequence[RunPair]) -> list[PairedRuns]:
    """The step whose state was kept; the number of steps where the protocol keeps none."""
    return _of_runs(pairs, lambda run: run.kept_step)


def at_equal_steps(pairs: Sequence[RunPair], name: str, field: str) -> tuple[list[PairedRuns], list[int]]:
    """A field of CheckMeans at the largest step that both runs of a pair have a check at, and those steps.

    name: the field's set. By row where every pair has two trajectories, else by mean.
    """
    steps = [equal_step(checks_of(pair.a), checks_of(pair.b)) for pair in pairs]
    there = [(pair, step) for pair, step in zip(pairs, steps, strict=True) if step is not None]
    by_row = [
        _by_row(pair, _trajectory_rows(pair.a, name, step), _trajectory_rows(pair.b, name, step), name) for pair, step in there
    ]
    if there and all(pair is not None for pair in by_row):
        return [pair for pair in by_row if pair is not None], [step for _, step in there]
    found, kept = [], []
    for pair, step in there:
        a, b = (getattr(at_step(checks_over(run, pair), step), field) for run in (pair.a, pair.b))
        if a is not None and b is not None:
            found.append(PairedRuns(seed=pair.seed, a=a, b=b))
            kept.append(step)
    return found, kept


def at_equal_forget_em(pairs: Sequence[RunPair], level: float) -> list[tuple[str, Crossing, Crossing]]:
    """Seed and both crossings, of the pairs whose runs both reach the level."""
    crossings = [(p.seed, at_level(checks_over(p.a, p), level), at_level(checks_over(p.b, p), level)) for p in pairs]
    return [(seed, a, b) for seed, a, b in crossings if a is not None and b is not None]


def checks_over(run: Run, pair: RunPair) -> tuple[CheckMeans, ...]:
    """The run's checks over the pair's forget rows; over all of them where a trajectory is missing on either side."""
    return checks_of(run, pair.forget_rows if pair.a.trajectory and pair.b.trajectory else None)


def _by_row(pair: RunPair, a: Rows, b: Rows, name: str) -> PairedRuns | None:
    if not pair.by_row:
        return None
    kept = [key for key in a if key in b and (name != "forget" or pair.forget_rows is None or key[1] in pair.forget_rows)]
    if not kept:
        return None
    mean_a, mean_b = (sum(rows[key].value for key in kept) / len(kept) for rows in (a, b))
    gaps = tuple(a[key].value - b[key].value for key in kept)
    clusters, trials = tuple(a[key].cluster for key in kept), trials_of([a[key] for key in kept])
    return PairedRuns(seed=pair.seed, a=mean_a, b=mean_b, differences=gaps, clusters=clusters, trials=trials)


def rows_of(run: Run, column: Column) -> Rows:
    """The paragraphs' values after the run, in the unit of tables, by (forget row of the trial, index, origin)."""
    trials = {row["trial"]: row for row in run.paragraphs if row["set"] == "forget" and row.get("trial") is not None}
    rows: Rows = {}
    for row in run.paragraphs:
        value = column.value_after(row)
        if value is not None:
            of_trial = trials.get(row.get("trial"), {})
            key = (of_trial.get("index"), row["index"], row.get("origin"))
            rows[key] = Row(value, row["cluster"], of_trial.get("cluster"))
    return rows


def trials_of(rows: Sequence[Row]) -> tuple[int, ...] | None:
    """The clusters of the rows' trials; None where the rows are of no trials."""
    trials = [row.trial for row in rows if row.trial is not None]
    return tuple(trials) if rows and len(trials) == len(rows) else None


def _trajectory_rows(run: Run, name: str, step: int) -> Rows:
    if run.trajectory is None:
        return {}
    rows = rows_at_step(run.trajectory, name, step)
    return {(None, index): Row(kl if name == "retain_val" else em, cluster) for index, (cluster, em, kl) in rows.items()}


def _of_runs(pairs: Sequence[RunPair], number: Callable[[Run], Any]) -> list[PairedRuns]:
    values = [(pair.seed, number(pair.a), number(pair.b)) for pair in pairs]
    return [PairedRuns(seed=seed, a=float(a), b=float(b)) for seed, a, b in values if a is not None and b is not None]


def _with_alternative(edit: Run) -> frozenset[int] | None:
    rows: Collection[int] = [
        row["index"] for row in edit.paragraphs if row["set"] == "forget" and row.get("alternative") is not None
    ]
    return frozenset(rows) or None
