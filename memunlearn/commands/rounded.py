"""What rounding its weights does to a model: the checkpoint in 16 bits, scored again from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from memunlearn.commands.inputs import move
from memunlearn.models.checkpoint_dtype import DTYPES
from memunlearn.models.loading import load_model
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import score

CHECKED = ("forget", "bystander")
MOVED = 1.0  # tokens of EM


@dataclass(frozen=True)
class Rounded:
    """A checkpoint as it was written. dtype: of its weights. em: by set, mean EM before rounding and of the files, 0..C."""

    dtype: str
    em: Mapping[str, tuple[float, float]]

    @property
    def moved(self) -> tuple[str, ...]:
        """The sets whose EM is another by more than one token."""
        return tuple(name for name, (before, of_files) in self.em.items() if abs(of_files - before) > MOVED)

    def said(self, remedy: str) -> str:
        """One line. remedy: what writes it as it was measured, such as `dtype=float32`."""
        if not self.em:
            return f"the checkpoint in {self.dtype} was not scored again: there are no rows to score"
        changes = ", ".join(
            f"{name} EM {of_files:.1f} ({before:.1f} before rounding)" for name, (before, of_files) in self.em.items()
        )
        if not self.moved:
            return f"the checkpoint in {self.dtype}, scored again: {changes}"
        return f"warning: rounding to {self.dtype} changes what the model recites: {changes}; {remedy} writes it as measured"


def name_of(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known == dtype)


def scored_again(
    folder: Path, sets: Mapping[str, ParagraphSet], em: Mapping[str, float], dtype: torch.dtype, device: torch.device
) -> Rounded:
    """The checkpoint in the folder, read anew and run in fp32 as every other model here.

    sets: the rows to score, by name; em: their mean EM before rounding. Raises UserError if it cannot be read or does not fit.
    """
    if not sets:
        return Rounded(name_of(dtype), {})
    model = load_model(str(folder))
    move(model, device, str(folder))
    return Rounded(name_of(dtype), {name: (em[name], mean_em(model, rows)) for name, rows in sets.items()})


def mean_em(model: PreTrainedModel, rows: ParagraphSet) -> float:
    """0..C."""
    return float(score(model, rows, description="scoring the checkpoint").em.double().mean())
