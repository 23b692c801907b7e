"""metrics.csv, whole at every moment: a line per logging call, columns sorted, most cells empty."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.loggers import Logger
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.files.writing import write_text
from memunlearn.results.curve import METRICS, read_curve
from memunlearn.unlearning.module import Unlearning

CURVE = "curve"
OWN_ROW = "curve_row"  # in checkpoints of an earlier version

Row = Mapping[str, float]


class CurveFile(Logger):
    """Starts the file with these rows, or without a file where there are none; each of them has a `step`."""

    def __init__(self, directory: Path, rows: Sequence[Row] = ()) -> None:
        super().__init__()
        self.path = directory / METRICS
        self.rows: list[dict[str, float]] = [dict(row) for row in rows]
        self.columns = sorted({key for row in rows for key in row})
        if rows:
            self._write_all()
        else:
            self.path.unlink(missing_ok=True)

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @property
    def log_dir(self) -> str:
        return self.save_dir

    def log_hyperparams(self, params: Any, *args: Any, **settings: Any) -> None:
        """The config is in result.json."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds a line, which is in the file at once."""
        row = {key: value.item() if isinstance(value, Tensor) else value for key, value in metrics.items()}
        row["step"] = len(self.rows) if step is None else step
        self.rows.append(row)
        if new := row.keys() - set(self.columns):
            self.columns = sorted({*self.columns, *new})
            self._write_all()
        else:
            self._append(_lines([row], self.columns))

    def _write_all(self) -> None:
        header = _lines([dict(zip(self.columns, self.columns, strict=True))], self.columns)
        write_text(self.path, header + _lines(self.rows, self.columns))

    def _append(self, text: str) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            end, content = os.fstat(handle).st_size, text.encode()
            # One call, so that a kill finds either all of the line in the file or nothing.
            if (written := os.write(handle, content)) != len(content):
                os.ftruncate(handle, end)
                raise OSError(28, f"{written} of {len(content)} bytes of a line could be written", str(self.path))
        finally:
            os.close(handle)


class KeepCurve(lightning.Callback):
    """A checkpoint holds the curve up to its step: what metrics.csv has, or lost, by the time of resuming does not matter.

    The training rows that nobody has read yet reach the loggers before it.
    """

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        curve = next((logger for logger in trainer.loggers if isinstance(logger, CurveFile)), None)
        if curve is None:
            return
        if isinstance(module, Unlearning):
            module.log_curve(before=trainer.global_step)
        checkpoint[CURVE] = list(curve.rows)


def curve_of(checkpoint: Mapping[str, Any], path: Path, metrics: Path) -> list[dict[str, float]]:
    """The rows up to a checkpoint. path: its file, for messages. metrics: metrics.csv, where an earlier version had all rows
    but the checkpoint's own. Raises UserError where there are none, or something else."""
    rows = checkpoint.get(CURVE)
    if rows is None and metrics.is_file():
        step = checkpoint["global_step"]
        # A training row is logged under the number of steps taken before it, a check under the number of steps taken.
        before = [row for row in read_curve(metrics) if row.get("step", step + 1) < step or _is_check(row, step)]
        rows = [{**row, "step": int(row["step"])} for row in before]
        if OWN_ROW in checkpoint and not any("train/loss" in row and row["step"] == step - 1 for row in rows):
            rows.append(checkpoint[OWN_ROW])
    with contextlib.suppress(AttributeError, TypeError):
        if isinstance(rows, list) and all(isinstance(row.get("step"), int) and _is_row(row) for row in rows):
            return rows
    raise UserError(f"{path} holds no training curve that can be read: start the run anew in another folder")


def _is_check(row: Mapping[str, Any], step: int) -> bool:
    return row.get("step") == step and "train/loss" not in row


def _is_row(row: Mapping[str, Any]) -> bool:
    return all(isinstance(key, str) and isinstance(value, int | float) for key, value in row.items())


def _lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()
