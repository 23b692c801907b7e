"""Near-duplicates of forget paragraphs told apart: those that hold forgotten text, and those that only begin like it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from memunlearn.paragraphs.clusters import repeats
from memunlearn.paragraphs.near_parts import NEAR_FORGOTTEN, NEAR_OTHER
from memunlearn.unlearning.outcome import SetOutcome


def holds_forgotten(sets: Mapping[str, SetOutcome]) -> Tensor | None:
    """[n] bool of the near rows of a run: whether a row's continuation shares 20 tokens in a row with that of a forget row (one
    paragraph at a time: of its own trial's). None where there are no near rows.
    """
    if (near := sets.get("near")) is None:
        return None
    forget = sets["forget"]
    said, forgotten = near.paragraphs.continuations, forget.paragraphs.continuations
    if near.trial is None or forget.trial is None:
        return repeats(said, forgotten)
    holds = torch.zeros(len(said), dtype=torch.bool)
    for trial in near.trial.unique():
        rows = near.trial == trial
        holds[rows] = repeats(said[rows], forgotten[forget.trial == trial])
    return holds


def near_parts(sets: Mapping[str, SetOutcome]) -> dict[str, SetOutcome]:
    """The near rows that hold forgotten text and the other ones, by name; a part without rows is left out."""
    holds = holds_forgotten(sets)
    if holds is None:
        return {}
    parts = {NEAR_FORGOTTEN: holds, NEAR_OTHER: ~holds}
    return {name: sets["near"].select(part.nonzero().flatten()) for name, part in parts.items() if part.any()}
