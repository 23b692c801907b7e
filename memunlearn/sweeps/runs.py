"""The run folders of a sweep, read as plain data. Whatever is missing, half-written or damaged is said, not raised."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from memunlearn.errors import UserError
from memunlearn.results.old_names import config_today
from memunlearn.results.shape import check_config
from memunlearn.sweeps.run_files import (
    Trajectory,
    overrides_of,
    read_checks,
    read_outcome,
    read_paragraphs,
    read_trajectory,
)

State = Literal["finished", "failed", "unfinished"]
# Any of these in a folder make it a run's folder.
MARKS = ("result.json", "error.json", ".hydra", "metrics.csv", "checkpoints")
DEPTH = 2


@dataclass(frozen=True, kw_only=True)
class Run:
    """One job's folder. folder: its path below the sweep, with slashes.

    result: result.json of a finished run. config: resolved, where any file holds it. paragraphs: rows of paragraphs.parquet.
    curve: rows of metrics.csv. trajectory: None where there is none. error: why a failed run failed. problems: what could not
    be read.
    """

    folder: str
    state: State
    result: Mapping[str, Any]
    config: Mapping[str, Any] | None
    overrides: tuple[str, ...]
    paragraphs: Sequence[Mapping[str, Any]]
    curve: Sequence[Mapping[str, float]]
    trajectory: Trajectory | None
    error: str | None
    problems: tuple[str, ...]
    has_report: bool

    @property
    def notes(self) -> list[str]:
        """What the run itself says about what it is evidence for."""
        notes = self.result.get("notes")
        return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []

    @property
    def kept_step(self) -> float | None:
        """The step whose state was kept; all steps where the protocol keeps none."""
        kept = self.result.get("kept_step")
        return self.result.get("steps") if kept is None else kept

    @property
    def seed(self) -> int:
        """That of the run's own intervals; 0 where its result is damaged."""
        seed = self.result.get("seed")
        return seed if isinstance(seed, int) and seed >= 0 else 0


def read_sweep(sweep: Path) -> list[Run]:
    """Every run below a sweep's folder, at most two folders deep, in the order of their names (numbers as numbers).

    Raises UserError where the folder is none, is a run's own, or has no runs below it.
    """
    if not sweep.is_dir():
        raise UserError(f"{sweep} is not a folder: name a sweep's folder")
    if (sweep / "result.json").is_file():
        raise UserError(f"{sweep} is a single run: name the folder that holds the runs of a sweep")
    folders = sorted(_run_folders(sweep, DEPTH), key=lambda folder: _natural(folder.relative_to(sweep)))
    if not folders:
        raise UserError(f"{sweep} has no runs below it (no result.json, no error.json): name a sweep's folder")
    return [read_run(folder, folder.relative_to(sweep).as_posix()) for folder in folders]


def read_run(folder: Path, name: str) -> Run:
    """One run's folder, whatever is left of it."""
    problems: list[str] = []
    result, failure = read_outcome(folder, problems)
    config = (result or failure or {}).get("config")
    try:
        check_config(config)
    except ValueError as error:
        problems.append(f"error.json is damaged: {error}")
        config = None
    finished = result is not None
    paragraphs = read_paragraphs(folder / "paragraphs.parquet", problems) if finished else ()
    curve = read_checks(folder / "metrics.csv", problems) if finished else ()
    trajectory = read_trajectory(folder / "trajectory.parquet", problems) if finished else None
    return Run(
        folder=name,
        state="finished" if finished else "failed" if failure is not None else "unfinished",
        result=result or {},
        config=config_today(config) if isinstance(config, dict) else None,
        overrides=overrides_of(failure),
        paragraphs=paragraphs,
        curve=curve,
        trajectory=trajectory,
        error=None if failure is None else " ".join(str(failure.get("error", "no reason was recorded")).split()),
        problems=tuple(problems),
        has_report=(folder / "report.html").is_file(),
    )


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    try:
        below = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return
    for child in below:
        if any((child / mark).exists() for mark in MARKS):
            yield child
        elif depth > 1:
            yield from _run_folders(child, depth - 1)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in path.parts]
