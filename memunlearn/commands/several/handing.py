"""What is known of the base model goes from the first process to the others: measured once, the same to the bit for all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from memunlearn.scoring.output_head import OutputHead
from memunlearn.unlearning.preparation import Preparation


def hand_over(preparation: Preparation, path: Path) -> None:
    """Writes the preparation, without the model, to this file."""
    torch.save(_with_head(preparation, OutputHead(nn.Identity())), path)


def received(path: Path, model: PreTrainedModel, directory: Path) -> Preparation:
    """What was handed over, of this base model; its large tensors stay in the file. directory: for large files of one's own."""
    # A file of this very run's first process: it holds classes of this package.
    handed_over: Preparation = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    return replace(_with_head(handed_over, OutputHead.of(model)), directory=directory)


def _with_head(preparation: Preparation, head: OutputHead) -> Preparation:
    return replace(
        preparation,
        baselines={
            name: replace(known, states=replace(known.states, head=head)) for name, known in preparation.baselines.items()
        },
        states={side: replace(states, head=head) for side, states in preparation.states.items()},
    )
