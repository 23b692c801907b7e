"""What the page of a frontier and its text say, before either is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.sweeps.frontier.plan import CONFIRMATION, MASKS, ROUNDS, TUNING, Plan, read_plan
from memunlearn.sweeps.frontier.read import JobReading, read_job
from memunlearn.sweeps.frontier.summary import Summary, summaries
from memunlearn.sweeps.frontier.tables import Table, matched_table, reported_table, survival_table
from memunlearn.sweeps.frontier.tell import headline, sentences
from memunlearn.words import counted, listed

HOW = (
    "A run is checked along its steps, and every check is a state that could have been kept. Forget EM and longest run are of "
    "the forget set, retain KL and bystander EM of retain_val and bystander_val, which are in no loss; EM and runs in tokens, "
    "KL in nats per token.",
    "Matched forgetting: the first check at which forget EM and longest run are both low enough, and what it has cost there. "
    "Matched disruption: of the checks with a retain KL of at most so much, the one with the lowest forget EM.",
    "Hypervolume, 0 to 1, more is better: the share of the cube (forget EM / C, 1 - bystander EM / C, min(retain KL, .5) / .5) "
    "that a run's checks dominate, up to its worst corner (1, 1, 1). A job that failed counts as 0.",
    "The next round is chosen by the mean hypervolume over the tuning seeds: the best strength of each method, then the best "
    "methods. What was chosen by a number looks better in it than it is: the round of confirmation has other seeds.",
    f"Intervals are 95 %, Student's t over seeds, differences seed by seed; none below {SEEDS_AT_LEAST} seeds. Seeds change "
    "the split into sets, random masks and the training; the model is the same.",
)
TITLES = {
    TUNING: "Every method at every strength",
    MASKS: "The best methods on fewer weights",
    CONFIRMATION: "Confirmation",
}
SURVIVAL = "Forgetting that survives relearning and rounding"
HOW_ATTACKED = (
    "Forget EM of each run's kept state, and after the worst attempt of each kind (attacks=... of train.py). Relearning half "
    "of the clusters is measured on the other half, and counts only where the half that was trained on came back itself."
)
REPORTED = "Confirmation: what the runs report at their end"


@dataclass(frozen=True, kw_only=True)
class FrontierContent:
    """shown: the candidates that the picture and the sentences are about. best: the best of each method while tuning. lost:
    failed jobs, and why. remarks: by folder. notes: what the runs say that they are evidence for."""

    progress: str
    budget: str
    headline: str
    sentences: tuple[str, ...]
    shown: tuple[Summary, ...]
    tuning: tuple[Summary, ...]
    tables: tuple[Table, ...]
    readings: tuple[JobReading, ...]
    lost: tuple[tuple[JobReading, str], ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]


def content_of(sweep: Path) -> FrontierContent:
    """From frontier.json and whatever the jobs' folders hold by now. Raises UserError where the plan cannot be read."""
    plan = read_plan(sweep)
    readings = [read_job(sweep, job) for job in plan.jobs]
    of_round = {name: summaries(plan, [reading for reading in readings if reading.job.round == name]) for name in ROUNDS}
    confirmed = [summary for summary in of_round[CONFIRMATION] if summary.hypervolume is not None]
    tuned = [*of_round[TUNING], *of_round[MASKS]]
    length = max((reading.length for reading in readings), default=0)
    return FrontierContent(
        progress=_progress(plan, readings),
        budget=_budget(plan),
        headline=headline(confirmed or tuned, plan.references),
        sentences=tuple(sentences(plan, confirmed or tuned, length)) if length else (),
        shown=tuple(confirmed),
        tuning=tuple(tuned),
        tables=tuple(_tables(plan, of_round, length)),
        readings=tuple(readings),
        lost=tuple((reading, reading.why) for reading in readings if reading.state == "failed"),
        remarks=tuple(f"{reading.job.folder}: {remark}" for reading in readings for remark in reading.remarks),
        notes=tuple(dict.fromkeys(note for reading in readings for note in reading.notes)),
    )


def _tables(plan: Plan, of_round: dict[str, list[Summary]], length: float) -> list[Table]:
    found = []
    for name in reversed(ROUNDS):
        if of_round[name]:
            bold = "" if name == CONFIRMATION else " Bold: the best of its method in this table."
            how = f"Seeds {_seeds(of_round[name])}.{bold}"
            found.append(matched_table(TITLES[name], how, plan, of_round[name], length=length, mark_best=bool(bold)))
        if name == CONFIRMATION and of_round[name]:
            how = "The kept state of each run, on sets that nothing was chosen by."
            found.append(reported_table(REPORTED, how, of_round[name]))
        survived = survival_table(f"{TITLES[name]}: {SURVIVAL[0].lower()}{SURVIVAL[1:]}", HOW_ATTACKED, of_round[name])
        found += [survived] if survived is not None else []
    return found


def _seeds(found: Sequence[Summary]) -> str:
    return listed([str(seed) for seed in sorted({reading.job.seed for summary in found for reading in summary.readings})])


def _progress(plan: Plan, readings: Sequence[JobReading]) -> str:
    states = [reading.state for reading in readings]
    planned = len(plan.jobs) + sum(plan.later.values())
    said = f"{states.count('finished')} of {counted(planned, 'job')} finished"
    said += f", {states.count('failed')} failed" if "failed" in states else ""
    rounds = [name for name in ROUNDS if name in plan.later]
    return said + (f"; still to come: {listed(rounds)}." if rounds else ".")


def _budget(plan: Plan) -> str:
    """What each method could be tuned with; empty where nothing was tuned."""
    tuned = [job for job in plan.jobs if job.round == TUNING]
    if not tuned:
        return ""
    methods = list(dict.fromkeys(job.candidate.method for job in tuned))
    seeds = {job.seed for job in tuned}
    strengths = len({job.candidate for job in tuned}) // len(methods)
    return (
        f"Every method had the same tuning budget: {counted(strengths, 'strength')} x {counted(len(seeds), 'seed')}, "
        f"{counted(len(methods), 'method')}."
    )
