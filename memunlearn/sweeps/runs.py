"""The run folders of a sweep, read as plain data. Whatever is missing, half-written or damaged is said, not raised."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.passwords import hide_passwords
from memunlearn.results.curve import read_curve
from memunlearn.results.shape import (
    LARGEST,
    OTHERS,
    ROW_COLUMNS,
    check_config,
    check_curve,
    check_result,
    check_rows,
    number_columns,
)

State = Literal["finished", "failed", "unfinished"]
# Any of these in a folder make it a run's folder.
MARKS = ("result.json", "error.json", ".hydra", "metrics.csv", "checkpoints")
DEPTH = 2
TRAJECTORY_COLUMNS = {"step": int, "set": str, "index": int, "cluster": int, "em": float, "kl": float}


@dataclass(frozen=True)
class Trajectory:
    """Columns [checks x paragraphs] of trajectory.parquet: a row per check and paragraph, the base model's (step 0) included.

    step, index, cluster: int64. set: str. em: tokens. kl: nats per token, NaN outside retain_val.
    """

    step: np.ndarray
    set: np.ndarray
    index: np.ndarray
    cluster: np.ndarray
    em: np.ndarray
    kl: np.ndarray


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
    result = _mapping(folder / "result.json", problems)
    if result is not None:
        try:
            check_result(result)
        except ValueError as error:
            problems.append(f"result.json is damaged: {error}")
            result = None
    failure = None if result is not None else _mapping(folder / "error.json", problems)
    config = (result or failure or {}).get("config")
    try:
        check_config(config)
    except ValueError as error:
        problems.append(f"error.json is damaged: {error}")
        config = None
    finished = result is not None
    paragraphs = _paragraphs(folder / "paragraphs.parquet", problems) if finished else ()
    curve = _curve(folder / "metrics.csv", problems) if finished else ()
    trajectory = _trajectory(folder / "trajectory.parquet", problems) if finished else None
    return Run(
        folder=name,
        state="finished" if finished else "failed" if failure is not None else "unfinished",
        result=result or {},
        config=config if isinstance(config, dict) else None,
        overrides=_overrides(failure),
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


def _mapping(path: Path, problems: list[str]) -> dict[str, Any] | None:
    try:
        if not os.path.lexists(path):
            return None
        data: dict[str, Any] = hide_passwords(read_json(path, "the run is left out"))
        return data
    except (OSError, UserError) as error:
        problems.append(str(error).replace(str(path), path.name))
        return None


def _overrides(failure: Mapping[str, Any] | None) -> tuple[str, ...]:
    overrides = (failure or {}).get("overrides")
    return tuple(map(str, overrides)) if isinstance(overrides, list) else ()


def _paragraphs(path: Path, problems: list[str]) -> Sequence[Mapping[str, Any]]:
    import pyarrow

    table = _table(path, problems)
    try:
        if table is not None:
            table = table.select([name for name in (*ROW_COLUMNS, *number_columns(), *OTHERS) if name in table.column_names])
            check_rows(table)
    except (ValueError, pyarrow.ArrowException) as error:
        problems.append(f"paragraphs.parquet: {error}")
        table = None
    if table is None:
        problems.append("paragraphs.parquet is missing or damaged: only this run's means are used")
        return ()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _curve(path: Path, problems: list[str]) -> Sequence[Mapping[str, float]]:
    try:
        rows = read_curve(path)
        check_curve(rows)
        return rows
    except (UserError, ValueError) as error:
        problems.append(f"metrics.csv cannot be read: {error}")
        return ()


def _trajectory(path: Path, problems: list[str]) -> Trajectory | None:
    if not path.is_file():
        return None
    table = _table(path, problems)
    if table is None:
        return None
    if missing := set(TRAJECTORY_COLUMNS) - set(table.column_names):
        problems.append(f"trajectory.parquet has no column {', '.join(sorted(missing))}: it is not used")
        return None
    try:
        columns: dict[str, np.ndarray] = {
            name: np.array(table[name].to_pylist(), dtype=dtype) for name, dtype in TRAJECTORY_COLUMNS.items()
        }
        if not (np.abs(columns["em"]) <= LARGEST).all() or (np.abs(columns["kl"]) > LARGEST).any():
            raise ValueError(f"a number beyond {LARGEST:g}")
    except (TypeError, ValueError, OverflowError) as error:
        problems.append(f"trajectory.parquet: {error}: it is not used")
        return None
    return Trajectory(**columns)


def _table(path: Path, problems: list[str]) -> Any | None:
    import pyarrow
    import pyarrow.parquet

    try:
        with open(path, "rb") as file:  # of a path pyarrow wants UTF-8
            return pyarrow.parquet.read_table(file)
    except (OSError, pyarrow.ArrowException) as error:
        problems.append(f"{path.name}: {str(error).splitlines()[0]}")
        return None
