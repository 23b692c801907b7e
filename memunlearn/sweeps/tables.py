"""The sweep's numbers: a row per job, and per setting the mean over its seeds with what can be said about its certainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.statistics.intervals import Interval, Limits, too_few_clusters
from memunlearn.statistics.proportions import share_with_interval
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval, two_level_interval
from memunlearn.statistics.two_way import mean_over_units, why_no_interval
from memunlearn.sweeps.differences import (
    BYSTANDER_EM,
    FORGET_EM,
    RETAIN_KL,
    SEEDS_AND_CLUSTERS,
    SEEDS_AND_TRIALS,
    SEEDS_ONLY,
    TOO_FEW,
    Quantity,
)
from memunlearn.sweeps.pairs import Row, rows_of, trials_of
from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.settings import Setting, continuation_length, facts_of, seed_name, seeds_of, varying_keys


@dataclass(frozen=True)
class Column:
    """A number of a set in the tables. column: of paragraphs.parquet; key: of result.json."""

    quantity: Quantity
    set: str
    column: str
    key: str


LONGEST_COMMON_RUN = Quantity("forget longest common run", "tokens", 2)
SAME_IN_ALL = "no interval: the same in every seed"
ALTERNATIVE_EM = Quantity("alternative EM", "tokens", 2)
COLUMNS = (
    Column(FORGET_EM, "forget", "em_after", "em"),
    Column(Quantity("forget longest run", "tokens", 2), "forget", "longest_run_after", "longest_run"),
    Column(LONGEST_COMMON_RUN, "forget", "longest_common_run_after", "longest_common_run"),
    Column(Quantity("forget NLL", "nats per token", 3), "forget", "nll_after", "nll"),
    Column(BYSTANDER_EM, "bystander", "em_after", "em"),
    Column(RETAIN_KL, "retain", "kl", "kl"),
    Column(Quantity("retain self-EM", "tokens", 2), "retain", "self_em", "self_em"),
    Column(ALTERNATIVE_EM, "forget", "alternative_em", "alternative_em"),
)


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
    n: int
    interval: Interval | None
    unit: str


def job_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of sweep.parquet, all with the same columns; a number's interval under `<name>_low` and `<name>_high`."""
    facts = {run.folder: facts_of(run) for run in runs if run.config is not None}
    varying = varying_keys(list(facts.values()))
    rows = [_job_row(run, facts.get(run.folder, {}), varying) for run in runs]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in columns} for row in rows]


def setting_means(settings: Sequence[Setting]) -> list[tuple[Mean, ...]]:
    """Of each setting: the numbers of COLUMNS after the runs, and the kept step, over its seeds.

    Where no setting edits there is no column for alternatives, and where no run was decoded none for the longest common run.
    """
    rows = [[*(_mean(setting, column) for column in COLUMNS), _kept_step(setting)] for setting in settings]
    for quantity in (ALTERNATIVE_EM, LONGEST_COMMON_RUN):
        if all(mean.value is None for row in rows for mean in row if mean.quantity is quantity):
            rows = [[mean for mean in row if mean.quantity is not quantity] for row in rows]
    return [tuple(row) for row in rows]


def memorized_after(run: Run, length: int | None) -> MemorizedShare | None:
    """Forget paragraphs with EM = length after the run, by cluster: rows of a cluster are not independent."""
    rows = rows_of(run, "forget", "em_after")
    if not rows or length is None:
        return None
    held: dict[int, bool] = {}
    for row in rows.values():
        held[row.cluster] = held.get(row.cluster, False) or row.value >= length
    hits, n = sum(held.values()), len(held)
    return MemorizedShare(hits, n, None if too_few_clusters(n) else share_with_interval(hits, n)[1], "clusters")


def _seed(run: Run) -> int:
    """That of the run's own intervals; 0 where its result is damaged."""
    seed = run.result.get("seed")
    return seed if isinstance(seed, int) and seed >= 0 else 0


def mean_of_run(run: Run, column: Column) -> Mean:
    """One run's mean with its interval over clusters (and trials), conditional on this run: that of the run's own result.json.
    The mean alone without its rows."""
    rows = list(rows_of(run, column.set, column.column).values())
    if not rows:
        return Mean(column.quantity, _mean_in_result(run, column), None, "no interval: the paragraphs' rows are missing")
    values, clusters, trials = [row.value for row in rows], [row.cluster for row in rows], trials_of(rows)
    value, interval = mean_over_units(values, clusters, trials, _seed(run), _limits(run, column))
    if interval is None:
        return Mean(column.quantity, value, None, f"no interval: {why_no_interval(values, clusters, trials)}")
    over = "clusters" if trials is None or list(trials) == clusters else "clusters and trials"
    return Mean(column.quantity, value, interval, f"{over}, conditional on this run")


def _limits(run: Run, column: Column) -> Limits:
    """What the number of a paragraph can be: 0..C tokens, or nats from 0."""
    length = continuation_length(run) if column.quantity.unit == "tokens" else None
    return 0.0, math.inf if length is None else float(length)


def _mean(setting: Setting, column: Column) -> Mean:
    runs = [run for run in setting.runs if _mean_in_result(run, column) is not None]
    if len(runs) == 1:
        return mean_of_run(runs[0], column)
    if not runs:
        return Mean(column.quantity, None, None, "")
    values = [value for run in runs if (value := _mean_in_result(run, column)) is not None]
    if len(runs) < SEEDS_AT_LEAST:
        return Mean(column.quantity, math.fsum(values) / len(values), None, TOO_FEW)
    rows, limits = [rows_of(run, column.set, column.column) for run in runs], _limits(runs[0], column)
    if not all(rows):
        return _over_seeds(column.quantity, values, limits)
    units = [_units(list(one.values())) for one in rows]
    mean, interval = two_level_interval([(values, labels) for values, labels, _ in units], limits=limits)
    if interval is None:
        return Mean(column.quantity, mean, None, SAME_IN_ALL)
    return Mean(column.quantity, mean, interval, SEEDS_AND_TRIALS if units[0][2] else SEEDS_AND_CLUSTERS)


def _units(rows: Sequence[Row]) -> tuple[list[float], Sequence[int], bool]:
    """Values, what is resampled within a seed, and whether that is trials."""
    trials = trials_of(rows)
    return [row.value for row in rows], trials or [row.cluster for row in rows], trials is not None


def _kept_step(setting: Setting) -> Mean:
    quantity = Quantity("kept step", "steps", 1)
    found = [kept_step(run) for run in setting.runs]
    steps = [float(step) for step in found if step is not None]
    if len(steps) < SEEDS_AT_LEAST:
        value = math.fsum(steps) / len(steps) if steps else None
        return Mean(quantity, value, None, TOO_FEW if len(steps) > 1 else "")
    return _over_seeds(quantity, steps, (0.0, math.inf))


def _over_seeds(quantity: Quantity, values: Sequence[float], limits: Limits) -> Mean:
    mean, interval = mean_interval(values, limits)
    return Mean(quantity, mean, interval, SEEDS_ONLY if interval else SAME_IN_ALL)


def kept_step(run: Run) -> float | None:
    """The step whose state was kept; all steps where the protocol keeps none."""
    kept = run.result.get("kept_step")
    return run.result.get("steps") if kept is None else kept


def _mean_in_result(run: Run, column: Column) -> float | None:
    return (run.result["after"].get(column.set) or {}).get(column.key)


def _job_row(run: Run, facts: Mapping[str, str | None], varying: Sequence[str]) -> dict[str, Any]:
    result = run.result
    mask = result.get("mask") or {}
    row: dict[str, Any] = {
        "folder": run.folder,
        "state": run.state,
        "error": run.error,
        "problems": "; ".join(run.problems) or None,
        "overrides": " ".join(run.overrides) or None,
        "objective": facts.get("objective"),
        "mask": facts.get("mask"),
        "mask_match": None if run.config is None else bool((run.config.get("mask") or {}).get("match")),
        "fraction": _as_number(facts.get("fraction")),
        "forget_text": facts.get("forget_text"),
        **{f"config/{key}": facts.get(key) for key in varying},
    }
    seeds = seeds_of(run) if run.config is not None else {}
    row |= {"seed" if name == "seed" else f"seeds/{name}": value for name, value in seeds.items()}
    row |= {
        "seeds": seed_name(run) if seeds else None,
        "k": mask.get("k"),
        "eligible": mask.get("eligible"),
        "steps": result.get("steps"),
        "kept_step": result.get("kept_step"),
        "stopped_because": result.get("stopped_because"),
    }
    for when in ("before", "after"):
        for name, stats in (result.get(when) or {}).items():
            for key, value in (stats or {}).items():
                row |= _cells(f"{when}/{name}/{key}", value)
    return row | {f"seconds/{name}": value for name, value in (result.get("seconds") or {}).items()}


def _cells(name: str, value: Any) -> dict[str, float | None]:
    if isinstance(value, list) and len(value) == 2 and name.endswith("_ci"):
        return {f"{name[:-3]}_low": _number(value[0]), f"{name[:-3]}_high": _number(value[1])}
    return {} if isinstance(value, str) else {name: _number(value)}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _as_number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
