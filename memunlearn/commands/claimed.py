"""A folder that a command works in when Hydra has not claimed it: held by this process, and no result in it lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.claims import hold, let_go
from memunlearn.commands.earlier_results import check_earlier, remove_earlier
from memunlearn.commands.mistakes import mistake
from memunlearn.errors import UserError
from memunlearn.paths import expanded


@contextmanager
def claimed(cfg: DictConfig, directory: str | Path, command: str) -> Iterator[Path]:
    """The folder, for as long as the command works in it. Raises UserError where it is in use or holds another result, and for
    every mistake that the command would answer with one line."""
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
