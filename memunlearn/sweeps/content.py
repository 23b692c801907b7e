"""What the sweep's page and its text say, before either is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.results.sentence import STOPPED_BECAUSE
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.sweeps.comparisons import END, EQUAL_STEPS, Comparison, comparisons_of
from memunlearn.sweeps.differences import (
    BYSTANDER_EM,
    FORGET_EM,
    RETAIN_KL,
    SEEDS_AND_CLUSTERS,
    SEEDS_AND_TRIALS,
    Difference,
    sentence,
)
from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.settings import Setting, continuation_length, repeated, seed_name, settings_of
from memunlearn.sweeps.tables import (
    COLUMNS,
    Mean,
    MemorizedShare,
    kept_step,
    mean_of_run,
    memorized_after,
    setting_means,
)

HOW = (
    "At equal steps: at the largest step that both runs of a pair have a check at. At equal forget EM: when it first comes "
    "down to a level, linear between the checks around it; pairs with a run that never does are left out, and counted. The "
    "levels are half, a fifth and a tenth of the continuation.",
    "Differences are first minus second, over runs with the same seeds. Intervals are 95 %. "
    f'"{SEEDS_AND_CLUSTERS}" (and "{SEEDS_AND_TRIALS}", one paragraph at a time): the wider of Student\'s t over the '
    "seeds' means and of a two-level bootstrap that resamples seeds, and clusters of near-duplicates (or trials) within each "
    'seed. "seeds": Student\'s t over one number a seed. "conditional on this run": over clusters of near-duplicates (and, one '
    "paragraph at a time, trials) of one run, and another seed could give something else. "
    f"Below {SEEDS_AT_LEAST} seeds the seeds' own numbers are shown and no interval across runs; below {FEWEST_CLUSTERS} "
    "clusters none within a run. A setting is called higher or lower only where an interval over seeds does not hold 0.",
    "p-values are two-sided, from flipping the signs of the seeds' paired differences (exact up to 13 seeds; this tests the "
    "mean difference that is shown, which signed ranks would not). They are not corrected for how many there are.",
    "Seeds change the split into sets, the mask and the training; all runs start from the model that their config names, so "
    "nothing here speaks of other models.",
)


@dataclass(frozen=True)
class SettingRow:
    """A line of the table of settings, as `setting_means` has it."""

    label: str
    seeds: tuple[str, ...]
    means: tuple[Mean, ...]


@dataclass(frozen=True)
class JobRow:
    """A line of the table of finished runs."""

    run: Run
    label: str
    seed: str
    stopped: str
    kept_step: float | None
    forget_em: Mean
    bystander_em: Mean
    retain_kl: Mean
    memorized: MemorizedShare | None


@dataclass(frozen=True)
class SweepContent:
    """Everything that is shown. lost: failed and unfinished runs with why. remarks: runs left out or read in part."""

    headline: str
    notes: tuple[str, ...]
    settings: tuple[Setting, ...]
    setting_rows: tuple[SettingRow, ...]
    comparisons: tuple[Comparison, ...]
    jobs: tuple[JobRow, ...]
    lost: tuple[tuple[Run, str], ...]
    remarks: tuple[str, ...]


def content_of(runs: Sequence[Run]) -> SweepContent:
    settings = settings_of(runs)
    return SweepContent(
        _headline(runs, settings),
        tuple(dict.fromkeys(note for run in runs for note in run.notes)),
        tuple(settings),
        tuple(
            SettingRow(one.label, tuple(map(seed_name, one.runs)), means)
            for one, means in zip(settings, setting_means(settings), strict=True)
        ),
        tuple(comparisons_of(settings)),
        tuple(_job(setting, run) for setting in settings for run in setting.runs),
        tuple((run, _why(run)) for run in runs if run.state != "finished"),
        tuple(_remarks(runs, settings)),
    )


def headline_sentences(comparison: Comparison) -> list[str]:
    """The comparison in a few sentences: the kept states, forget EM at equal steps, and the side effects at equal forget EM
    (the lowest of the levels that most pairs reach)."""
    reached = {one.moment: len(one.pairs) for one in comparison.differences if one.moment not in (END, EQUAL_STEPS)}
    level = max(reversed(reached), key=lambda moment: reached[moment], default=None)
    chosen = [one for one in comparison.differences if _in_headline(one, level)]
    return [sentence(one, comparison.a, comparison.b) for one in chosen]


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def points(found: Difference) -> str:
    """The seeds' own differences, where there are too few for an interval: `seed 0: +0.25 (-1.00 to +1.50 over clusters)`."""
    quantity = found.quantity
    said = []
    for pair in found.pairs:
        within = pair.interval
        bounds = "" if within is None else f" ({within[0]:+.{quantity.digits}f} to {within[1]:+.{quantity.digits}f})"
        said.append(f"seed {pair.seed}: {round(pair.a - pair.b, quantity.digits) + 0.0:+.{quantity.digits}f}{bounds}")
    return "; ".join(said)


def _in_headline(one: Difference, level: str | None) -> bool:
    if one.moment == END:
        return one.quantity.label != "the kept step"
    return one.moment == level or (one.moment == EQUAL_STEPS and one.quantity == FORGET_EM)


def _headline(runs: Sequence[Run], settings: Sequence[Setting]) -> str:
    finished = sum(run.state == "finished" for run in runs)
    seeds = {seed_name(run) for setting in settings for run in setting.runs}
    varied = f"{counted(len(settings), 'setting')}, {counted(len(seeds), 'seed')}"
    said = f"{finished} of {counted(len(runs), 'run')} finished: {varied}."
    lost = [f"{number} {state}" for state in ("failed", "unfinished") if (number := sum(run.state == state for run in runs))]
    return said + (f" {' and '.join(lost).capitalize()}." if lost else "")


def _job(setting: Setting, run: Run) -> JobRow:
    reason = str(run.result.get("stopped_because"))
    of_quantity = {column.quantity: column for column in COLUMNS}
    forget_em, bystander_em, retain_kl = (mean_of_run(run, of_quantity[one]) for one in (FORGET_EM, BYSTANDER_EM, RETAIN_KL))
    return JobRow(
        run,
        setting.label,
        seed_name(run),
        STOPPED_BECAUSE.get(reason, reason),
        kept_step(run),
        forget_em,
        bystander_em,
        retain_kl,
        memorized_after(run, continuation_length(run)),
    )


def _why(run: Run) -> str:
    return run.error or "unfinished: no result.json and no error.json"


def _remarks(runs: Sequence[Run], settings: Sequence[Setting]) -> list[str]:
    remarks = [f"{run.folder}: {problem}" for run in runs for problem in run.problems]
    remarks += [f"{run.folder}: the same setting and seeds as an earlier run; left out" for run in repeated(runs, settings)]
    remarks += [
        f"{run.folder}: the loss became NaN; its last good state counts"
        for run in runs
        if run.result.get("stopped_because") == "nan"
    ]
    return remarks
