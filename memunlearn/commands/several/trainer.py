"""Lightning's trainer in one of several processes that are there already."""

from __future__ import annotations

import inspect
import os
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from memunlearn.one_process import alone


class Joined(LightningEnvironment):
    """The environment of a process that is one of several on this machine, all of them started already."""

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return distributed.get_rank()

    def node_rank(self) -> int:
        return 0


def together(make: Any, directory: str | Path = os.devnull, *, unused: bool = False) -> partial[Any]:
    """As `alone`, for a trainer of this process among the others, by Lightning's DDPStrategy: each of them averages the
    gradients of all. unused: some of what is trained may have no gradient."""
    made = alone(make, directory)
    plugins = [plugin for plugin in made.keywords["plugins"] if not isinstance(plugin, LightningEnvironment)]
    # Whose name is another one before PyTorch 2.13. Nothing changes buffers.
    known = inspect.signature(DistributedDataParallel).parameters
    buffers: dict[str, Any] = {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
    strategy = DDPStrategy(find_unused_parameters=unused, **buffers)
    return partial(made, plugins=[*plugins, Joined()], strategy=strategy, use_distributed_sampler=False)


def leave_signals(trainer: lightning.Trainer) -> None:
    """Lightning's answer to SIGTERM, and a look in every step whether there was one, ask the other processes, which may be
    waiting for this one: the command's own answer is left to stand."""
    parts: Any = trainer
    for place, name in (
        (parts._signal_connector, "register_signal_handlers"),
        (parts.fit_loop.epoch_loop, "_broadcast_sigterm_tensor"),
    ):
        assert callable(getattr(place, name))
        setattr(place, name, lambda: None)
