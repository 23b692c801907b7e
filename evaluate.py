"""Score paragraphs, find memorized ones, or judge a patch: `python evaluate.py --help`."""

from pathlib import Path

from omegaconf import DictConfig

from memunlearn.commands.hydra_app import run_app


def task(cfg: DictConfig) -> None:
    from memunlearn.commands.evaluate import evaluate  # here, so that --help and --cfg answer at once

    evaluate(cfg)


if __name__ == "__main__":
    run_app(task, "evaluate", Path(__file__).parent / "conf")
