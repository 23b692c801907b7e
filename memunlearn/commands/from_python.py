"""train, evaluate, localize and find called from Python, a notebook say: no command line, and no job of Hydra's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from memunlearn.commands import evaluate as evaluate_command
from memunlearn.commands import find as find_command
from memunlearn.commands import localize as localize_command
from memunlearn.commands import train as train_command
from memunlearn.commands.call import Call
from memunlearn.commands.claims import hold, let_go
from memunlearn.commands.configs import CONF, must_be_told, told
from memunlearn.commands.earlier_results import check_earlier, remove_earlier
from memunlearn.commands.evaluate import Evaluation
from memunlearn.commands.find import Found
from memunlearn.commands.localize import Localization
from memunlearn.commands.mistakes import mistake
from memunlearn.commands.train import RunResult
from memunlearn.errors import UserError
from memunlearn.paths import expanded


def train(cfg: DictConfig, directory: str | Path) -> RunResult:
    """The run of this config (see `compose`), in this folder: what `memunlearn train hydra.run.dir=DIRECTORY` leaves there.

    A complete run of the same settings is not done again. Raises UserError where the folder is in use or holds another result
    (cfg.overwrite replaces it), and for everything that the command refuses.
    """
    with _claimed(cfg, directory, "train") as folder:
        return train_command.train(cfg, folder, _call(cfg, "train"))


def evaluate(cfg: DictConfig, directory: str | Path) -> Evaluation:
    """What `memunlearn evaluate` leaves in this folder. Raises UserError as `train` does."""
    with _claimed(cfg, directory, "evaluate") as folder:
        return evaluate_command.evaluate(cfg, folder, _call(cfg, "evaluate"))


def localize(cfg: DictConfig, directory: str | Path) -> Localization:
    """What `memunlearn localize` leaves in this folder. Raises UserError as `train` does."""
    with _claimed(cfg, directory, "localize") as folder:
        return localize_command.localize(cfg, folder, _call(cfg, "localize"))


def find(cfg: DictConfig, directory: str | Path) -> Found:
    """What `memunlearn find` leaves in this folder. Raises UserError as `train` does."""
    with _claimed(cfg, directory, "find") as folder:
        return find_command.find(cfg, folder, _call(cfg, "find"))


def _call(cfg: DictConfig, command: str) -> Call:
    """A patch and a run that is resumed bring settings of their own: what was set beside them must be known."""
    setting = "patch" if cfg.get("patch") else "resume=true" if cfg.get("resume", False) else None
    known = told(cfg) if setting is None else must_be_told(cfg, setting)
    return Call(
        command=command, told=() if known is None else known.overrides, folders=(CONF,) if known is None else known.folders
    )


@contextmanager
def _claimed(cfg: DictConfig, directory: str | Path, command: str) -> Iterator[Path]:
    folder = expanded(directory)
    if not hold(folder):
        raise UserError(f"{folder} is in use by another process: wait until it has ended, or choose another folder")
    try:
        if not cfg.get("resume", False):
            if cfg.overwrite:
                remove_earlier(folder)
            check_earlier(folder, OmegaConf.to_container(cfg, resolve=True), command)  # type: ignore[arg-type]
        yield folder
    except Exception as error:
        line = mistake(error)
        if line is None or isinstance(error, UserError):
            raise
        raise UserError(line) from error  # Hydra wraps what a constructor raises
    finally:
        let_go(folder)
