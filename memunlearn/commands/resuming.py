"""`resume=true hydra.run.dir=DIR`: going on with a run that was interrupted, with the config that it was started with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.sweep_folder import RESULT, finished_job, holds_another_result
from memunlearn.errors import UserError
from memunlearn.reporting.curve import read_curve
from memunlearn.reporting.files import write_json, write_text
from memunlearn.unlearning.training import checkpoint_mask

CHECKPOINTS = "checkpoints"
CONFIG = Path(CHECKPOINTS) / "config.yaml"
CHECKPOINT = Path(CHECKPOINTS) / "last.ckpt"
COMMAND = Path(CHECKPOINTS) / "command.txt"
INPUTS = Path(CHECKPOINTS) / "inputs.json"
CURVE_ROW = "curve_row"


def remember(cfg: DictConfig, directory: Path) -> None:
    """Keeps the run's config for resuming; a fresh run's folder also loses the checkpoint of an earlier run.

    Hydra overwrites .hydra/config.yaml before a job starts, so that one is of no use for resuming, and is set right here.
    """
    if not cfg.resume:
        (directory / CHECKPOINT).unlink(missing_ok=True)
    (directory / CONFIG).parent.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, directory / CONFIG)
    if (directory / ".hydra").is_dir():
        OmegaConf.save(cfg, directory / ".hydra" / "config.yaml")


def remembered(directory: Path, overrides: Sequence[str]) -> DictConfig:
    """The config of the run in this folder, with resume on.

    Raises UserError if no run was started there, or if other overrides came with resume=true.
    """
    if not (directory / CONFIG).is_file():
        raise UserError(f"there is no run to resume in {directory}: name its folder with hydra.run.dir=DIR")
    others = [override for override in overrides if not override.startswith("resume=")]
    if others:
        raise UserError(f"a run is resumed with the config that it was started with: leave out {' '.join(others)}")
    cfg = OmegaConf.load(directory / CONFIG)
    assert isinstance(cfg, DictConfig)
    cfg.resume = True
    return cfg


def same_inputs(directory: Path, inputs: Mapping[str, str], resumed: bool) -> None:
    """Keeps `input_digests` of a fresh run, for resuming.

    Raises UserError if those of a run that is resumed have changed: its checkpoint was trained on another model or other text.
    """
    kept = directory / INPUTS
    if not resumed:
        write_json(kept, inputs)
    elif kept.is_file():
        before = json.loads(kept.read_text("utf-8"))
        if changed := sorted(name for name in before if name in inputs and inputs[name] != before[name]):
            raise UserError(
                f"the files of {' and '.join(changed)} have changed since the run in {directory} began: put back those that it "
                "began with, or start a new run in another folder"
            )


def starting_command(directory: Path, resumed: bool) -> str | None:
    """The command that makes this run again: the script and the overrides that the run (of a sweep: its job) began with.

    Kept in the folder, since `resume=true` says nothing of them; None where a run from before this was kept is resumed.
    """
    kept = directory / COMMAND
    if resumed:
        return kept.read_text("utf-8").strip() if kept.is_file() else None
    hydra_config = HydraConfig.get()
    command = shlex.join(["python", f"{hydra_config.job.config_name}.py", *hydra_config.overrides.task])
    write_text(kept, command + "\n")
    return command


def finished_result(directory: Path) -> dict[str, Any] | None:
    """The result of a run that is complete, else None."""
    path = directory / RESULT
    return json.loads(path.read_text()) if path.is_file() else None


def finished_in_sweep(cfg: DictConfig, directory: Path) -> Path | None:
    """The folder of this sweep that has the complete run of this config, if there is one; None outside a sweep.

    Raises UserError for resume=true in a sweep, and if this job's folder holds the result of another.
    """
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.MULTIRUN:
        return None
    sweep = Path(hydra_config.sweep.dir)
    if cfg.resume:
        raise UserError(
            "resume=true is for a single run: a sweep goes on with hydra.sweep.dir=DIR, which skips finished jobs; leave it out"
        )
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if (finished := finished_job(sweep, config)) is not None:
        return finished
    if holds_another_result(directory, config):
        raise UserError(
            f"{directory} holds the result of another job: leave hydra.sweep.subdir as it is, and each job has its own"
        )
    return None


def checkpoint_of(directory: Path) -> Path | None:
    """The checkpoint to go on from; None, and said so, where the run was interrupted before its first.

    Raises UserError if it is damaged.
    """
    if (directory / CHECKPOINT).is_file():
        checkpoint_mask(directory / CHECKPOINT)  # refused now if it cannot be read
        return directory / CHECKPOINT
    print(f"{directory} was interrupted before its first checkpoint: starting from the beginning")
    return None


class CurveRow(lightning.Callback):
    """Lightning logs a training row only after the checkpoint of its step: the checkpoint carries it, or it might be lost."""

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
            checkpoint[CURVE_ROW] = {"step": trainer.global_step - 1, "epoch": trainer.current_epoch, **values}


def carry_curve(csv: CSVLogger, directory: Path, checkpoint: Path | None) -> None:
    """Starts metrics.csv anew, with the rows up to the checkpoint: Lightning's logger would begin with an empty file."""
    path = directory / "metrics.csv"
    if checkpoint is None or not path.is_file():
        path.unlink(missing_ok=True)
        return
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    step = state["global_step"]
    # A training row is logged under the number of steps taken before it, a check under the number of steps taken.
    # A line that was cut short has no step.
    rows = [
        row
        for row in read_curve(path)
        if row.get("step", step + 1) < step or ("train/loss" not in row and row.get("step") == step)
    ]
    if CURVE_ROW in state and not any("train/loss" in row and row["step"] == step - 1 for row in rows):
        rows.append(state[CURVE_ROW])
    path.unlink()
    for row in rows:
        csv.log_metrics({key: value for key, value in row.items() if key != "step"}, int(row["step"]))
