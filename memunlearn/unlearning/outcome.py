"""What a protocol hands on: every reported set before and after, and the change itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.evaluation.suite import Baseline, Measurement, base_measurement, measure, pool
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.score import ParagraphScores
from memunlearn.unlearning.stopping import Check


@dataclass(frozen=True)
class SetOutcome:
    """One set before and after. For a per-paragraph run a row stands once for each trial that it belongs to.

    paragraphs: n rows. index: [n] their row numbers in the set. trial: [n] trial numbers, or None for a joint run.
    said_before, said_after: [n, C] what the base model and the current model say, for forget rows; else None.
    """

    paragraphs: ParagraphSet
    index: Tensor
    before: Measurement
    after: Measurement
    said_before: Tensor | None = None
    said_after: Tensor | None = None
    trial: Tensor | None = None


@dataclass(frozen=True)
class AlternativeOutcome:
    """Scores of (original prefix, alternative) before and after, for the n forget rows that have one; clusters [n]."""

    before: ParagraphScores
    after: ParagraphScores
    clusters: Tensor


@dataclass(frozen=True)
class Outcome:
    """sets: by name; empty ones are left out.

    k: chosen weights (of each trial). per_component: their counts, summed over trials. patches: one for a joint run, one a
    trial otherwise. steps, kept_step, stopped_because, kept_check: as in `training.Training`; trials have no kept_check.
    """

    sets: Mapping[str, SetOutcome]
    alternatives: AlternativeOutcome | None
    patches: Sequence[Patch]
    k: int
    eligible: int
    per_component: Mapping[str, int]
    steps: int
    kept_step: int | None
    stopped_because: str
    kept_check: Check | None = None


def measure_set(
    model: PreTrainedModel, baseline: Baseline, index: Tensor, batch_size: int, name: str | None = None, texts: bool = False
) -> SetOutcome:
    """The baseline's rows, which are rows `index` of their set, before and after; `texts` adds what both models say."""
    after = measure(model, baseline, batch_size, name)
    said_before = said_after = None
    if texts and baseline.own is not None:
        said_before = baseline.own.continuations
        length = baseline.paragraphs.continuation_length
        said_after = greedy_continuations(model, baseline.paragraphs.prefixes, length, batch_size, name and f"decoding {name}")
    return SetOutcome(baseline.paragraphs, index, base_measurement(baseline), after, said_before, said_after)


def pool_trials(trials: Sequence[tuple[int, SetOutcome]]) -> SetOutcome:
    """One set's outcomes of several trials as one."""
    outcomes = [outcome for _, outcome in trials]
    said = [(o.said_before, o.said_after) for o in outcomes if o.said_before is not None and o.said_after is not None]
    return SetOutcome(
        concatenate([o.paragraphs for o in outcomes]),
        torch.cat([o.index for o in outcomes]),
        pool([o.before for o in outcomes]),
        pool([o.after for o in outcomes]),
        torch.cat([before for before, _ in said]) if said else None,
        torch.cat([after for _, after in said]) if said else None,
        torch.cat([torch.full((len(o.index),), trial) for trial, o in trials]),
    )
