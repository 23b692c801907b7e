"""Each file of a run's folder, whatever is left of it: what cannot be read is added to the problems, and not raised."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.passwords import hide_passwords
from memunlearn.results.curve import read_curve
from memunlearn.results.shape import LARGEST, OTHERS, ROW_COLUMNS, check_curve, check_result, check_rows, number_columns

TRAJECTORY_COLUMNS = {"step": int, "set": str, "index": int, "cluster": int, "em": float, "kl": float}


@dataclass(frozen=True, kw_only=True)
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


def read_mapping(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """result.json or error.json, without passwords; None where there is none, or it is damaged."""
    try:
        if not os.path.lexists(path):
            return None
        data: dict[str, Any] = hide_passwords(read_json(path, "the run is left out"))
        return data
    except (OSError, UserError) as error:
        problems.append(str(error).replace(str(path), path.name))
        return None


def read_outcome(folder: Path, problems: list[str]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """(result.json where it is there and whole, else None; error.json where there is no such result, else None)."""
    result = read_mapping(folder / "result.json", problems)
    if result is not None:
        try:
            check_result(result)
            return result, None
        except ValueError as error:
            problems.append(f"result.json is damaged: {error}")
    return None, read_mapping(folder / "error.json", problems)


def overrides_of(failure: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Those of error.json."""
    overrides = (failure or {}).get("overrides")
    return tuple(map(str, overrides)) if isinstance(overrides, list) else ()


def read_paragraphs(path: Path, problems: list[str]) -> Sequence[Mapping[str, Any]]:
    """Rows of paragraphs.parquet, with the columns that a sweep reads; none where it is missing or damaged."""
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


def read_checks(path: Path, problems: list[str]) -> Sequence[Mapping[str, float]]:
    """Rows of metrics.csv; none where it is missing or damaged."""
    try:
        rows = read_curve(path)
        check_curve(rows)
        return rows
    except (UserError, ValueError) as error:
        problems.append(f"metrics.csv cannot be read: {error}")
        return ()


def read_trajectory(path: Path, problems: list[str]) -> Trajectory | None:
    """None where there is none, or it is damaged."""
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
