"""The training curve as `metrics.csv` keeps it: a row per logging call, most cells empty."""

from __future__ import annotations

import csv
import os

from memunlearn.errors import UserError

METRICS = "metrics.csv"


def read_curve(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """A dict per row of the file, without the keys whose cells are empty. An empty file is an empty curve.

    Raises UserError where the file is missing or damaged, a cell is not a number or a step not a whole one.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [_numbers(row, f"{path}, line {line}") for line, row in enumerate(csv.DictReader(file), start=2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: the training curve is no CSV file in UTF-8 ({error}): remove it") from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot read the training curve ({error.strerror}): name a run folder with a metrics.csv"
        ) from error


def _numbers(row: dict[str, str], place: str) -> dict[str, float]:
    try:
        numbers = {key: float(cell) for key, cell in row.items() if cell}
        if not numbers.get("step", 0.0).is_integer() or numbers.get("step", 0.0) > 2**53:
            raise ValueError(f"step {row['step']}")
        return numbers
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{place}: the training curve holds something that is not a number ({error}): remove the line"
        ) from error
