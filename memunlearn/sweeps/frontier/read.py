"""A job's folder as points of the frontier: what each check of the stop rule measured, and what the reported sets say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from memunlearn.sweeps.frontier.plan import PlannedJob
from memunlearn.sweeps.run_files import read_checks, read_outcome

NO_CHECKS = "it has no checks of forget, retain_val and bystander_val: it is read once, at its end, on the reported sets"
COLUMNS = ("check/forget_em", "check/forget_longest_run", "check/retain_val_kl", "check/bystander_val_em")


@dataclass(frozen=True)
class Point:
    """One state of the model: EM and run are means in tokens, KL in nats per token; kept sets are those of the stop rule
    (retain_val, bystander_val), so that what is reported at the end is not what was chosen by."""

    step: int
    forget_em: float
    longest_run: float
    retain_kl: float
    bystander_em: float


@dataclass(frozen=True, kw_only=True)
class JobReading:
    """points: by step, the base model (step 0) first. length: C in tokens, 0 where it is not known. after: result.json's, by
    set; attacks: its, empty where none was tried. seconds: of the whole run; None where it is not finished. why: it failed.
    remarks: what a reader must know. notes: what the run says that it is evidence for."""

    job: PlannedJob
    state: Literal["finished", "failed", "unfinished"]
    points: tuple[Point, ...]
    length: int
    after: Mapping[str, Any]
    seconds: float | None
    stopped_because: str
    why: str
    remarks: tuple[str, ...]
    notes: tuple[str, ...]
    has_report: bool
    attacks: Mapping[str, Any] = field(default_factory=dict)


def read_job(sweep: Path, job: PlannedJob) -> JobReading:
    """Whatever is left of its folder: what is missing or damaged is said, not raised."""
    folder, problems = sweep / job.folder, list[str]()
    result, failure = read_outcome(folder, problems)
    if result is None:
        return JobReading(
            job=job,
            state="unfinished" if failure is None else "failed",
            points=(),
            length=0,
            after={},
            seconds=None,
            stopped_because="",
            why="" if failure is None else " ".join(str(failure.get("error", "no reason was recorded")).split()),
            remarks=tuple(problems),
            notes=(),
            has_report=False,
        )
    length = ((result.get("config") or {}).get("paragraphs") or {}).get("continuation_length")
    curve = folder / "metrics.csv"
    points = points_of(result, read_checks(curve, problems) if curve.is_file() else ())
    if not points:
        points = _ends(result)
        problems.append(NO_CHECKS if points else "it measured no longest run, KL or bystander EM")
    if result.get("stopped_because") == "nan":
        problems.append("the loss became NaN: what was checked before counts")
    return JobReading(
        job=job,
        state="finished",
        points=points,
        length=length if isinstance(length, int) else 0,
        after=result.get("after") or {},
        seconds=math.fsum(value for value in (result.get("seconds") or {}).values() if isinstance(value, int | float)),
        stopped_because=str(result.get("stopped_because")),
        why="",
        remarks=tuple(problems),
        notes=_notes(result),
        has_report=(folder / "report.html").is_file(),
        attacks=result.get("attacks") or {},
    )


def points_of(result: Mapping[str, Any], curve: Sequence[Mapping[str, float]]) -> tuple[Point, ...]:
    """Of a run's checks in metrics.csv, those with all four numbers; none without any.

    bystander_val is not measured before training: the base model's point has the EM of the reported bystanders.
    """
    checked = {
        int(row["step"]): Point(int(row["step"]), *(row[column] for column in COLUMNS))
        for row in curve
        if "step" in row and all(math.isfinite(row.get(column, math.nan)) for column in COLUMNS)
    }
    if not checked:
        return ()
    base = _point(0, result.get("before") or {})
    return (*([base] if base else []), *(checked[step] for step in sorted(checked)))


def _notes(result: Mapping[str, Any]) -> tuple[str, ...]:
    notes = result.get("notes")
    return tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list) else ()


def _ends(result: Mapping[str, Any]) -> tuple[Point, ...]:
    """Before and after, of a run without checks."""
    found = (_point(0, result.get("before") or {}), _point(int(result.get("steps") or 0), result.get("after") or {}))
    base, end = found
    return (base, end) if base is not None and end is not None else ()


def _point(step: int, sets: Mapping[str, Any]) -> Point | None:
    forget, retain, bystander = (sets.get(name) or {} for name in ("forget", "retain", "bystander"))
    values = (forget.get("em"), forget.get("longest_run"), retain.get("kl"), bystander.get("em"))
    return None if any(value is None for value in values) else Point(step, *(float(value) for value in values))  # type: ignore[arg-type]
