"""The chapters: each is a command of memunlearn's own, given as a user would type it, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SEVERAL = "objective=demote,edit_distilled", "mask=all,gradient,random", "optimizer=kfac,adam"
JOBS = 12
"""Unlearning and editing, with each mask and each kind of optimizer."""


@dataclass(frozen=True)
class Chapter:
    """arguments: of Python. leaves: a pattern of the files that are there once it is complete, below the story's folder; count:
    how many. The chapter is then left out."""

    name: str
    arguments: Sequence[str]
    leaves: str
    count: int = 1

    def left(self, folder: Path) -> int:
        """How many of its files are there."""
        return sum(1 for _ in folder.glob(self.leaves))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Of a size. share: of the weights, for masks. settings: what else every run is given. analyses, attacks: which."""

    share: float
    analyses: str
    attacks: str
    settings: tuple[str, ...] = ()


PLANS = {
    "tiny": Plan(
        share=0.05,
        analyses="em_nll",
        attacks="[pruning]",
        settings=("stop.max_steps=5", "batch_size=4"),
    ),
    "30m": Plan(share=0.001, analyses="parameter_gradients", attacks="[relearning,pruning,quantization]"),
    "125m": Plan(share=0.001, analyses="parameter_gradients", attacks="[relearning,pruning,quantization]"),
}


def chapters(size: str, folder: Path) -> list[Chapter]:
    """In their order; all in the folder, an absolute path."""
    plan, stage = PLANS[size], folder / "stage"
    model = ("model=local", f"model.name_or_path={stage / 'model'}", "paragraphs=files")
    named = (f"paragraphs.forget={stage / 'forget.npy'}", f"paragraphs.bystander={stage / 'bystander.npy'}")
    sets = (*model, *named, f"paragraphs.retain={stage / 'unseen.npy'}")
    corpus = (*model, f"paragraphs.path={stage / 'corpus.npy'}")

    def writes(name: str) -> str:
        return f"hydra.run.dir={folder / name}"

    return [
        Chapter(
            "train until it recites",
            ("-m", "benchmarks.stage", "--size", size, "--out", str(stage)),
            "stage/stage.json",
        ),
        Chapter(
            "find what it recites",
            ("evaluate.py", *corpus, writes("found")),
            "found/evaluation.json",
        ),
        Chapter(
            "localize",
            ("localize.py", *corpus, f"analysis={plan.analyses}", writes("localization")),
            "localization/localization.json",
        ),
        Chapter(
            "unlearn, edit, attack",
            (
                "train.py",
                "-m",
                *SEVERAL,
                f"mask.fraction={plan.share}",
                f"attacks={plan.attacks}",
                *sets,
                *plan.settings,
                f"hydra.sweep.dir={folder / 'unlearning'}",
            ),
            "unlearning/*/result.json",
            JOBS,
        ),
        Chapter(
            "write the page",
            ("-m", "memunlearn.reporting", "--paper", str(folder)),
            "paper.html",
        ),
    ]
