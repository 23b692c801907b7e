"""Score paragraphs, find memorized ones, or judge a patch: `python evaluate.py --help`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memunlearn.process import own_process

if TYPE_CHECKING:
    from omegaconf import DictConfig


def task(cfg: DictConfig) -> None:
    from memunlearn.commands.evaluate import evaluate  # here, so that --help and --cfg answer at once

    evaluate(cfg)


if __name__ == "__main__":
    with own_process():
        from memunlearn.commands.hydra_app import run_app

        run_app(task, "evaluate", Path(__file__).parent / "conf")
