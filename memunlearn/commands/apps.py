"""train, evaluate, localize, find and takedown as Hydra apps: what the scripts and the command `memunlearn` run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from memunlearn.commands.call import Call, call_of_hydra, program
from memunlearn.commands.configs import CONF
from memunlearn.commands.hydra_app import run_app
from memunlearn.commands.job_log import also_in

App = Callable[[DictConfig, Path, Call], Any]

# Each imports what it runs when it runs, so that --help and --cfg answer at once.


def _train(cfg: DictConfig, directory: Path, call: Call) -> tuple[float, float] | None:
    """What the run is judged by in a search (hydra/sweeper=optuna): forget EM and retain_val KL of the kept state."""
    from memunlearn.commands.search import objectives
    from memunlearn.commands.train import train

    return objectives(train(cfg, directory, call).result)


def _evaluate(cfg: DictConfig, directory: Path, call: Call) -> None:
    from memunlearn.commands.evaluate import evaluate

    evaluate(cfg, directory, call)


def _localize(cfg: DictConfig, directory: Path, call: Call) -> None:
    from memunlearn.commands.localize import localize

    localize(cfg, directory, call)


def _find(cfg: DictConfig, directory: Path, call: Call) -> None:
    from memunlearn.commands.find import find

    find(cfg, directory, call)


def _takedown(cfg: DictConfig, directory: Path, call: Call) -> None:
    from memunlearn.commands.takedown.run import takedown

    takedown(cfg, directory, call)


APPS: dict[str, App] = {
    "train": _train,
    "evaluate": _evaluate,
    "localize": _localize,
    "find": _find,
    "takedown": _takedown,
}


def task_of(command: str, started: str | None = None) -> Callable[[DictConfig], Any]:
    """What Hydra calls with the config of each job.

    started: how commands are started here, {} for the name of one; None: as this process was, which is asked now, not in a
    launcher's worker.
    """
    app, how = APPS[command], program() if started is None else started

    def task(cfg: DictConfig) -> Any:
        directory, call = call_of_hydra(how)
        with also_in(directory / f"{command}.log"):
            return app(cfg, directory, call)

    return task


def run(command: str) -> None:
    """The command, with the overrides in sys.argv; exits as `run_app` does."""
    run_app(task_of(command), command, CONF)
