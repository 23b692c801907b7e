"""Frontiers as plain files: frontier.json, and run folders whose checks fall along straight lines with a seed's own speed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from memunlearn.sweeps.frontier.plan import CONFIRMATION, MASKS, TUNING, Candidate, Plan, PlannedJob, Target, write_plan

C = 20
# (speed of forgetting, harm to what is to be kept), of a step.
METHODS = {"quick": (2.0, 1.0), "gentle": (1.5, 0.2), "useless": (0.2, 1.5)}
MASKS_OF = ("mlps", "top")
NOTE = "The demo is a test of the software & no evidence about <larger> models."
TARGETS = (Target(4.0, 6.0), Target(1.0, 3.0))
LEVELS = (0.02, 0.1)


def candidate(method, strength="forget_weight=1", mask="all") -> Candidate:
    return Candidate(method, strength, mask, (f"objective={method}", f"objective.{strength}", f"mask={mask}"))


def write_frontier(folder: Path, tuning=(0, 1), confirmation=tuple(range(10, 15)), later=(), methods=tuple(METHODS)) -> Path:
    """later: rounds that have not begun. All other jobs are finished."""
    strengths = ("forget_weight=0.5", "forget_weight=1")
    jobs = [
        *((TUNING, candidate(method, strength), seed) for method in methods for strength in strengths for seed in tuning),
        *((MASKS, candidate("gentle", mask=mask), seed) for mask in MASKS_OF for seed in tuning),
        *((CONFIRMATION, candidate(method), seed) for method in methods[:2] for seed in confirmation),
        *((CONFIRMATION, Candidate("default", "", "", ()), seed) for seed in confirmation),
    ]
    planned = [
        PlannedJob(round=name, candidate=one, seed=seed, folder=str(number))
        for number, (name, one, seed) in enumerate(jobs)
        if name not in later
    ]
    folder.mkdir(parents=True, exist_ok=True)
    counts = {name: sum(job[0] == name for job in jobs) for name in later}
    write_plan(folder, Plan(tuple(planned), counts, TARGETS, LEVELS, ("default",)))
    for job in planned:
        write_job(folder, job)
    return folder


def write_job(folder: Path, job: PlannedJob, steps=12) -> None:
    speed, harm = METHODS.get(job.candidate.method, (1.0, 1.0))
    speed *= {"forget_weight=0.5": 0.5, "forget_weight=1": 1.0}.get(job.candidate.strength, 1.0) * (1 + 0.02 * job.seed)
    harm *= {"mlps": 2.0, "top": 1.2}.get(job.candidate.mask, 1.0) * (1 + 0.01 * (job.seed % 3))
    write_run(folder / job.folder, [(step, *at(step, speed, harm)) for step in (1, *range(2, steps + 1, 2))], seed=job.seed)


def at(step, speed, harm):
    """(forget EM, longest run, retain KL, bystander EM) after so many steps."""
    em = max(0.0, C - speed * step)
    return em, min(C, em + 2), 0.01 * harm * step, max(0.0, C - 0.4 * harm * step)


def write_run(folder: Path, checks, seed=0, **more) -> None:
    """checks: (step, forget EM, longest run, retain KL, bystander EM)."""
    folder.mkdir(parents=True, exist_ok=True)
    step, em, run, kl, bystander = checks[-1] if checks else (0, C, C, 0.0, C)
    result = {
        "schema": 1,
        "config": {"paragraphs": {"continuation_length": C}, "seed": seed},
        "seed": seed,
        "steps": step,
        "stopped_because": "max_steps",
        "before": sets(C, C, 0.0, C),
        "after": sets(em, run, kl, bystander),
        "seconds": {"preparation": 10.0, "protocol": 50.0 + seed},
        "notes": [NOTE],
    }
    (folder / "result.json").write_text(json.dumps(result | more))
    (folder / "report.html").write_text("<p>report</p>")
    with open(folder / "metrics.csv", "w", newline="") as file:
        names = ("check/forget_em", "check/forget_longest_run", "check/retain_val_kl", "check/bystander_val_em")
        writer = csv.writer(file)
        writer.writerow(("step", "train/loss", *names))
        for number, *values in checks:
            writer.writerow((number - 1, 0.5, "", "", "", ""))
            writer.writerow((number, "", *values))


def write_failure(folder: Path, error="the loss became NaN") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").unlink(missing_ok=True)
    (folder / "error.json").write_text(json.dumps({"schema": 1, "error": error, "overrides": [], "config": None}))


def sets(em, run, kl, bystander):
    kept = {"n": 4, "clusters": 4, "longest_run": run, "kl": kl}
    return {
        "forget": kept | {"em": em, "em_p95": min(C, em + 1)},
        "bystander": kept | {"em": bystander},
        "retain": kept | {"em": 1.0},
        "near": None,
    }
