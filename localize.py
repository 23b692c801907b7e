"""Show where memorized paragraphs live in the weights, and how they are recalled: `python localize.py --help`."""

from pathlib import Path

from omegaconf import DictConfig

from memunlearn.commands.hydra_app import run_app


def task(cfg: DictConfig) -> None:
    from memunlearn.commands.localize import localize  # here, so that --help and --cfg answer at once

    localize(cfg)


if __name__ == "__main__":
    run_app(task, "localize", Path(__file__).parent / "conf")
