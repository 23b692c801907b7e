"""train, evaluate, localize, find and takedown called from Python, a notebook say: no command line, and no job of Hydra's."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from memunlearn.commands import evaluate as evaluate_command
from memunlearn.commands import find as find_command
from memunlearn.commands import localize as localize_command
from memunlearn.commands import train as train_command
from memunlearn.commands.call import Call
from memunlearn.commands.claimed import claimed
from memunlearn.commands.configs import CONF, must_be_told, told
from memunlearn.commands.evaluate import Evaluation
from memunlearn.commands.find import Found
from memunlearn.commands.localize import Localization
from memunlearn.commands.takedown import run as takedown_command
from memunlearn.commands.takedown.run import Takedown
from memunlearn.commands.train import RunResult


def train(cfg: DictConfig, directory: str | Path) -> RunResult:
    """The run of this config (see `compose`), in this folder: what `memunlearn train hydra.run.dir=DIRECTORY` leaves there.

    A complete run of the same settings is not done again. Raises UserError where the folder is in use or holds another result
    (cfg.overwrite replaces it), and for everything that the command refuses.
    """
    with claimed(cfg, directory, "train") as folder:
        return train_command.train(cfg, folder, _call(cfg, "train"))


def evaluate(cfg: DictConfig, directory: str | Path) -> Evaluation:
    """What `memunlearn evaluate` leaves in this folder. Raises UserError as `train` does."""
    with claimed(cfg, directory, "evaluate") as folder:
        return evaluate_command.evaluate(cfg, folder, _call(cfg, "evaluate"))


def localize(cfg: DictConfig, directory: str | Path) -> Localization:
    """What `memunlearn localize` leaves in this folder. Raises UserError as `train` does."""
    with claimed(cfg, directory, "localize") as folder:
        return localize_command.localize(cfg, folder, _call(cfg, "localize"))


def find(cfg: DictConfig, directory: str | Path) -> Found:
    """What `memunlearn find` leaves in this folder. Raises UserError as `train` does."""
    with claimed(cfg, directory, "find") as folder:
        return find_command.find(cfg, folder, _call(cfg, "find"))


def takedown(cfg: DictConfig, directory: str | Path) -> Takedown:
    """What `memunlearn takedown` leaves in this folder. Raises UserError as `train` does."""
    with claimed(cfg, directory, "takedown") as folder:
        return takedown_command.takedown(cfg, folder, _call(cfg, "takedown"))


def _call(cfg: DictConfig, command: str) -> Call:
    """A patch and a run that is resumed bring settings of their own, and a takedown hands its own on: what was set beside them
    must be known."""
    setting = "patch" if cfg.get("patch") else "resume=true" if cfg.get("resume", False) else None
    setting = "takedown" if command == "takedown" else setting
    known = told(cfg) if setting is None else must_be_told(cfg, setting)
    return Call(
        command=command, told=() if known is None else known.overrides, folders=(CONF,) if known is None else known.folders
    )
