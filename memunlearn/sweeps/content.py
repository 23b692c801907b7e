"""What the sweep's page and its text say, before either is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.results.sentence import STOPPED_BECAUSE
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.sweeps.comparisons import ComparedSettings, comparisons_of
from memunlearn.sweeps.differences import SEEDS_AND_CLUSTERS, SEEDS_AND_TRIALS
from memunlearn.sweeps.means import Mean, MemorizedShare, mean_of_run, memorized_after, setting_means
from memunlearn.sweeps.quantities import OF_BYSTANDER, OF_FORGET, OF_RETAIN
from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.settings import Setting, repeated, seed_name, settings_of
from memunlearn.words import counted

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


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class SweepContent:
    """Everything that is shown. lost: failed and unfinished runs with why. remarks: runs left out or read in part."""

    headline: str
    notes: tuple[str, ...]
    settings: tuple[Setting, ...]
    setting_rows: tuple[SettingRow, ...]
    comparisons: tuple[ComparedSettings, ...]
    jobs: tuple[JobRow, ...]
    lost: tuple[tuple[Run, str], ...]
    remarks: tuple[str, ...]


def content_of(runs: Sequence[Run]) -> SweepContent:
    settings = settings_of(runs)
    means = setting_means(settings)
    return SweepContent(
        headline=_headline(runs, settings),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
        settings=tuple(settings),
        setting_rows=tuple(
            SettingRow(setting.label, tuple(map(seed_name, setting.runs)), row)
            for setting, row in zip(settings, means, strict=True)
        ),
        comparisons=tuple(comparisons_of(settings)),
        jobs=tuple(_job(setting, run) for setting in settings for run in setting.runs),
        lost=tuple((run, _why(run)) for run in runs if run.state != "finished"),
        remarks=tuple(_remarks(runs, settings)),
    )


def _headline(runs: Sequence[Run], settings: Sequence[Setting]) -> str:
    finished = sum(run.state == "finished" for run in runs)
    seeds = {seed_name(run) for setting in settings for run in setting.runs}
    varied = f"{counted(len(settings), 'setting')}, {counted(len(seeds), 'seed')}"
    said = f"{finished} of {counted(len(runs), 'run')} finished: {varied}."
    lost = [f"{number} {state}" for state in ("failed", "unfinished") if (number := sum(run.state == state for run in runs))]
    return said + (f" {' and '.join(lost).capitalize()}." if lost else "")


def _job(setting: Setting, run: Run) -> JobRow:
    reason = str(run.result.get("stopped_because"))
    return JobRow(
        run=run,
        label=setting.label,
        seed=seed_name(run),
        stopped=STOPPED_BECAUSE.get(reason, reason),
        kept_step=run.kept_step,
        forget_em=mean_of_run(run, OF_FORGET),
        bystander_em=mean_of_run(run, OF_BYSTANDER),
        retain_kl=mean_of_run(run, OF_RETAIN),
        memorized=memorized_after(run),
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
