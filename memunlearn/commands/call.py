"""How a command was called: what Hydra knows of it is read once, here, and handed on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from memunlearn.commands.configs import CONF
from memunlearn.passwords import without_passwords

SCRIPTS = "python {}.py"
INSTALLED = "memunlearn {}"
MODULE = "python -m memunlearn {}"
WITH_SCRIPTS = ("train", "evaluate", "localize")
"""Commands that a checkout has a script for."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a command knows of its call beside its config; by default that it was called from Python.

    command: "train", "evaluate", "localize", "find" or "takedown". overrides: as they were typed; None: from Python. told: what
    `compose` was told, from Python. sweep: the folder of the sweep that this is a job of. choices: the option of each config
    group; None: unknown.
    folders: of config files, conf/ and what --config-dir adds. program: how commands are started here, {} for the name of one.
    """

    command: str
    overrides: tuple[str, ...] | None = None
    told: tuple[str, ...] = ()
    sweep: Path | None = None
    choices: Mapping[str, str | None] | None = None
    folders: tuple[Path, ...] = (CONF,)
    program: str = INSTALLED

    @property
    def given(self) -> tuple[str, ...]:
        """The overrides, wherever it was called from."""
        return self.told if self.overrides is None else self.overrides

    @property
    def line(self) -> str | None:
        """What to type to have the same again, passwords hidden; None from Python."""
        if self.overrides is None:
            return None
        return shlex.join([*self.words(self.command), *map(without_passwords, self.overrides)])

    def words(self, command: str) -> list[str]:
        """What starts this command here: `python evaluate.py`."""
        program = MODULE if self.program == SCRIPTS and command not in WITH_SCRIPTS else self.program
        return shlex.split(program.format(command))


def program() -> str:
    """How the command of this process was started, {} for its name."""
    started = Path(sys.argv[0]).name
    if started == "__main__.py":
        return MODULE
    return SCRIPTS if started.endswith(".py") else INSTALLED


def call_of_hydra(program: str) -> tuple[Path, Call]:
    """The folder of the job that Hydra runs now, and its call."""
    known = HydraConfig.get()
    call = Call(
        command=str(known.job.config_name),
        overrides=tuple(known.overrides.task),
        sweep=Path(known.sweep.dir) if known.mode == RunMode.MULTIRUN else None,
        choices={str(group): option for group, option in known.runtime.choices.items()},
        folders=tuple(Path(source.path) for source in known.runtime.config_sources if source.schema == "file"),
        program=program,
    )
    return Path(known.runtime.output_dir), call
