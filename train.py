"""Unlearn or edit memorized paragraphs: `python train.py --help`."""

from pathlib import Path

from omegaconf import DictConfig

from memunlearn.commands.hydra_app import run_app


def task(cfg: DictConfig) -> None:
    from memunlearn.commands.train import train  # here, so that --help and --cfg answer at once

    train(cfg)


if __name__ == "__main__":
    run_app(task, "train", Path(__file__).parent / "conf")
