"""Unlearn or edit memorized paragraphs: `python train.py --help`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memunlearn.process import own_process

if TYPE_CHECKING:
    from omegaconf import DictConfig


def task(cfg: DictConfig) -> tuple[float, float] | None:
    """What the run is judged by in a search (hydra/sweeper=optuna): forget EM and retain_val KL of the kept state."""
    from memunlearn.commands.search import objectives  # here, so that --help and --cfg answer at once
    from memunlearn.commands.train import train

    return objectives(train(cfg).result)


if __name__ == "__main__":
    with own_process():
        from memunlearn.commands.hydra_app import run_app

        run_app(task, "train", Path(__file__).parent / "conf")
