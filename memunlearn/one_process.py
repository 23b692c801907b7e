"""Training in this process alone, whatever cluster it runs in.

Lightning looks at the environment for a cluster to join. Inside a Slurm allocation it would refuse the number of its tasks, let
only the first of several commands log and save, answer Slurm's warning signal with a checkpoint in the working directory, and
start the next run, of anything, from that checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment


def one_process() -> LightningEnvironment:
    """The environment of a process that is the first and only one of its training; for Lightning's `plugins`."""
    alone = LightningEnvironment()
    alone.set_global_rank(0)
    return alone


def alone(make: Any, directory: str | Path = os.devnull) -> partial[Any]:
    """`make` (which makes a trainer) with this environment beside its own plugins, and with a root folder of its own.

    directory: of the run; without one, a place where no checkpoint can lie.
    """
    made = partial(make)
    own = made.keywords.get("plugins") or []
    several = isinstance(own, Sequence) and not isinstance(own, str)
    plugins = [*(own if several else [own]), one_process()]
    root = made.keywords.get("default_root_dir") or str(directory)
    return partial(made, plugins=plugins, default_root_dir=root)
