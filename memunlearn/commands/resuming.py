"""`resume=true hydra.run.dir=DIR`: going on with a run that was interrupted, with the config that it was started with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.call import Call
from memunlearn.commands.curve_file import curve_of
from memunlearn.commands.earlier_results import is_complete
from memunlearn.commands.kept_config import damage_named, hidden_settings, keep_config, kept_config
from memunlearn.commands.settings import allowed_names, check_settings
from memunlearn.commands.sweep_folder import RESULT, content_hash, finished_job, holds_another_result
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json, read_text
from memunlearn.files.writing import write_json, write_text
from memunlearn.results.curve import METRICS, read_curve
from memunlearn.unlearning.checkpoints import checkpoint_mask, read_checkpoint

CHECKPOINTS = "checkpoints"
CONFIG = Path(CHECKPOINTS) / "config.yaml"
CHECKPOINT = Path(CHECKPOINTS) / "last.ckpt"
COMMAND = Path(CHECKPOINTS) / "command.txt"
INPUTS = Path(CHECKPOINTS) / "inputs.json"
PROCESSES = ("trainer.devices", "trainer.strategy")
"""What may be said anew: on other devices a run goes on as it would have done."""


def remember(cfg: DictConfig, directory: Path, inputs: Mapping[str, str], call: Call, *, resumed: bool) -> str | None:
    """Keeps what resuming needs, the config last: where that is, the rest is. A fresh run's folder loses what an earlier run
    kept. inputs: `input_digests` of the config. resumed: whether it goes on from what is kept. Returns the command that makes
    this run again.

    Hydra overwrites .hydra/config.yaml before a job starts, so that one is of no use for resuming, and is set right here.
    """
    if not resumed:
        for kept in (CONFIG, CHECKPOINT):
            (directory / kept).unlink(missing_ok=True)
        write_json(directory / INPUTS, dict(inputs))
    command = starting_command(directory, resumed, call)
    keep_config(cfg, directory / CONFIG)
    if (directory / ".hydra").is_dir():
        keep_config(cfg, directory / ".hydra" / "config.yaml")
    return command


def remembered(directory: Path, given: DictConfig, call: Call) -> DictConfig:
    """The config of the run in this folder, with resume on, and with what `given`, the command's own config, allows.

    Raises UserError if no run was started there, if its config is damaged or names what is neither offered nor allowed, or if
    other overrides came with resume=true than PROCESSES and those for passwords, which are not kept.
    """
    path = directory / CONFIG
    if not path.is_file():
        raise UserError(f"there is no run to resume in {directory}: name its folder with hydra.run.dir=DIR")
    cfg = kept_config(path, call.folders, allowed_names(given))
    hidden = hidden_settings(OmegaConf.to_container(cfg))
    said = {override.partition("=")[0].lstrip("+"): override for override in call.given}
    others = [override for name, override in said.items() if name not in ("resume", "allow", *PROCESSES, *hidden)]
    if others:
        raise UserError(f"a run is resumed with the config that it was started with: leave out {' '.join(others)}")
    if missing := [name for name in hidden if name not in said]:
        raise UserError(
            f"passwords are not kept in {directory}: give again what the run was started with: {'=... '.join(missing)}=..."
        )
    with damage_named(path):
        for name in (*hidden, *(name for name in PROCESSES if name in said)):
            OmegaConf.update(cfg, name, OmegaConf.select(given, name))
        cfg.resume, cfg.overwrite, cfg.allow = True, given.overwrite, given.allow
        try:
            check_settings(cfg, call, kept=True)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return cfg


def same_inputs(directory: Path, inputs: Mapping[str, str]) -> None:
    """Raises UserError if the `input_digests` of a run that is resumed have changed: its checkpoint was trained on another
    model or other text."""
    kept = directory / INPUTS
    if kept.is_file():
        before = read_json(kept, "remove it, and the run is resumed without")
        if changed := sorted(name for name in before if name in inputs and inputs[name] != before[name]):
            raise UserError(
                f"the files of {' and '.join(changed)} have changed since the run in {directory} began: put back those that it "
                "began with, or start a new run in another folder"
            )


def starting_command(directory: Path, resumed: bool, call: Call) -> str | None:
    """The command that makes this run again: the script and the overrides that the run (of a sweep: its job) began with.

    Kept in the folder, since `resume=true` says nothing of them; None from Python, or where a run from before
    this was kept is resumed.
    Passwords are hidden. Raises UserError if the file that keeps it is damaged.
    """
    kept = directory / COMMAND
    if resumed:
        return read_text(kept, "remove it, and the run is resumed without").strip() if kept.is_file() else None
    if call.line is None:
        kept.unlink(missing_ok=True)
    else:
        write_text(kept, call.line + "\n")
    return call.line


def finished_result(directory: Path) -> dict[str, Any] | None:
    """The result of a run that is complete, else None. Raises UserError if it is damaged."""
    path = directory / RESULT
    if not path.is_file():
        return None
    remedy = "remove it, and the run is resumed or done again"
    result = read_json(path, remedy)
    if not all(isinstance(result.get(name), dict) for name in ("config", "before", "after")) or "stopped_because" not in result:
        raise UserError(f"{path} is not the result of a run: {remedy}")
    return result


def finished_in_sweep(cfg: DictConfig, directory: Path, sweep: Path | None) -> Path | None:
    """The folder of this sweep that has the complete run of this config, if there is one; None outside a sweep, or to do it
    again (overwrite=true).

    Raises UserError for resume=true in a sweep, and if this job's folder holds the result of another.
    """
    if sweep is None:
        return None
    if cfg.resume:
        raise UserError(
            "resume=true is for a single run: a sweep goes on with hydra.sweep.dir=DIR, which skips finished jobs; leave it out"
        )
    if cfg.overwrite:
        return None
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if (finished := finished_job(sweep, config)) is not None:
        return finished
    if holds_another_result(directory, config):
        raise UserError(
            f"{directory} holds the result of another job: leave hydra.sweep.subdir as it is, and each job has its own"
        )
    return None


def interrupted_in_sweep(cfg: DictConfig, directory: Path, inputs: Mapping[str, str], sweep: Path | None) -> bool:
    """Whether this job of a sweep goes on from where it was cut short: not where it is to be done anew (overwrite=true), and
    never outside a sweep (None), where resume=true asks for it."""
    return sweep is not None and not cfg.overwrite and was_interrupted(cfg, directory, inputs)


def was_interrupted(cfg: DictConfig, directory: Path, inputs: Mapping[str, str]) -> bool:
    """Whether a run was begun in this folder and cut short after a checkpoint, with the same settings and the same
    `input_digests`. A config or inputs that cannot be read are none of this run's."""
    if not all((directory / name).is_file() for name in (CONFIG, CHECKPOINT, INPUTS)):
        return False
    try:
        begun_with = content_hash(yaml.safe_load((directory / CONFIG).read_text("utf-8")), read_json(directory / INPUTS, ""))
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, UserError):
        return False
    return begun_with == content_hash(OmegaConf.to_container(cfg, resolve=True), inputs)  # type: ignore[arg-type]


def finished_by_itself(cfg: DictConfig, directory: Path, sweep: Path | None) -> bool:
    """Whether the run of this config, of no sweep (None) and not resumed, is complete here and not to be done again."""
    if sweep is not None or cfg.resume or cfg.overwrite:
        return False
    return is_complete(directory, OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def checkpoint_of(directory: Path) -> tuple[Path | None, list[dict[str, float]]]:
    """The checkpoint to go on from, and the training curve up to it; None, and said so, where the run was interrupted before
    its first.

    Raises UserError if it is damaged, or metrics.csv is.
    """
    path = directory / CHECKPOINT
    if not path.is_file():
        print(f"{directory} was interrupted before its first checkpoint: starting from the beginning")
        return None, []
    checkpoint_mask(path)  # refused now if it cannot be read
    if (directory / METRICS).is_file():
        read_curve(directory / METRICS)
    return path, curve_of(read_checkpoint(path), path, directory / METRICS)
