"""Unlearn or edit memorized paragraphs: `python train.py --help`."""

from pathlib import Path

from omegaconf import DictConfig

from memunlearn.commands.hydra_app import run_app


def task(cfg: DictConfig) -> tuple[float, float] | None:
    """What the run is judged by in a search (hydra/sweeper=optuna): forget EM and retain_val KL of the kept state."""
    from memunlearn.commands.search import objectives  # here, so that --help and --cfg answer at once
    from memunlearn.commands.train import train

    return objectives(train(cfg).result)


if __name__ == "__main__":
    run_app(task, "train", Path(__file__).parent / "conf")
