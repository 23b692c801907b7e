"""What a protocol hands on: every reported set before and after, and the change itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.evaluation.suite import Baseline, Measurement, base_measurement, measure, pool
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.metric import FromText
from memunlearn.scoring.metrics import metrics_from
from memunlearn.scoring.score import ParagraphScores
from memunlearn.unlearning.checks import Check, CheckedScores

TEXTS_AT_MOST = 200  # rows of each set but forget that a run decodes: they are there to be read, not counted


@dataclass(frozen=True)
class Said:
    """What the models say after some of a set's prefixes.

    rows: [m] positions in the set's outcome. before, after: [m, C] greedy continuations of the base and the current model.
    values_before, values_after: [m] each, by the key of every metric of decoded text (longest common run).
    """

    rows: Tensor
    before: Tensor
    after: Tensor
    values_before: Mapping[str, Tensor]
    values_after: Mapping[str, Tensor]

    @staticmethod
    def concatenate(parts: Sequence[tuple[int, Said]]) -> Said:
        """Those of several outcomes that are put together; each with the position where its outcome starts."""

        def joined(values: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
            return {key: torch.cat([of_part[key] for of_part in values]) for key in values[0]}

        return Said(
            torch.cat([start + said.rows for start, said in parts]),
            torch.cat([said.before for _, said in parts]),
            torch.cat([said.after for _, said in parts]),
            joined([said.values_before for _, said in parts]),
            joined([said.values_after for _, said in parts]),
        )

    def select(self, rows: Tensor) -> Said | None:
        """Of these rows [k] of the outcome, in increasing order, numbered anew; None if none of them was decoded."""
        kept = torch.isin(self.rows, rows).nonzero().flatten()
        if not len(kept):
            return None
        return Said(
            torch.searchsorted(rows, self.rows[kept]),
            self.before[kept],
            self.after[kept],
            {key: values[kept] for key, values in self.values_before.items()},
            {key: values[kept] for key, values in self.values_after.items()},
        )


@dataclass(frozen=True, kw_only=True)
class SetOutcome:
    """One set before and after. For a per-paragraph run a row stands once for each trial that it belongs to.

    paragraphs: n rows. index: [n] their row numbers in the set. said: of the rows that were decoded; None if none were.
    trial: [n] trial numbers, or None for a joint run.
    """

    paragraphs: ParagraphSet
    index: Tensor
    before: Measurement
    after: Measurement
    said: Said | None = None
    trial: Tensor | None = None

    def select(self, rows: Tensor) -> SetOutcome:
        """Of these rows [k], positions in increasing order."""
        return SetOutcome(
            paragraphs=self.paragraphs.select(rows),
            index=self.index[rows],
            before=self.before.select(rows),
            after=self.after.select(rows),
            said=None if self.said is None else self.said.select(rows),
            trial=None if self.trial is None else self.trial[rows],
        )


@dataclass(frozen=True)
class AlternativeOutcome:
    """Scores of (original prefix, alternative) before and after, for the n forget rows that have one.

    rows: [n] positions in the forget set's outcome.
    """

    before: ParagraphScores
    after: ParagraphScores
    rows: Tensor


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """sets: by name; empty ones are left out.

    k: weights that the patch changes (of each trial). per_component: their counts, summed over trials. patches: one for a joint
    run, one a trial otherwise. done: a sentence (no full stop) on what was done, where that is not training chosen weights;
    trained: how many numbers were trained, where those are not the k weights. The others: as in `training.Training`; trials
    have no kept_check and no trajectory.
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
    trajectory: Sequence[CheckedScores] = ()
    done: str | None = None
    trained: int | None = None


def text_values(said: Tensor, continuations: Tensor) -> dict[str, Tensor]:
    """[m] each, by the key of every metric of decoded text: said, continuations [m, C]."""
    return {metric.key: source.compute(said, continuations) for metric, source in metrics_from(FromText)}


def measure_set(
    model: PreTrainedModel, baseline: Baseline, index: Tensor, *, batch_size: int, name: str | None = None, texts: int = 0
) -> SetOutcome:
    """The baseline's rows, which are rows `index` of their set, before and after.

    texts: of how many rows (the first ones) to keep what both models say; only the current model is decoded.
    """
    after = measure(model, baseline, batch_size, name)
    said = None
    rows = torch.arange(min(texts, len(baseline.paragraphs)))
    if len(rows) and baseline.own is not None:
        length = baseline.paragraphs.continuation_length
        prefixes = baseline.paragraphs.prefixes[rows]
        now = greedy_continuations(model, prefixes, length, batch_size, name and f"decoding {name}")
        before, true = baseline.own.continuations[rows], baseline.paragraphs.continuations[rows]
        said = Said(rows, before, now, text_values(before, true), text_values(now, true))
    return SetOutcome(paragraphs=baseline.paragraphs, index=index, before=base_measurement(baseline), after=after, said=said)


def pool_trials(trials: Sequence[tuple[int, SetOutcome]], trial_clusters: Tensor) -> SetOutcome:
    """One set's outcomes of several trials as one. trial_clusters: the cluster of each trial's paragraph, by trial number."""
    outcomes = [outcome for _, outcome in trials]
    about = [int(trial_clusters[trial]) for trial, _ in trials]
    starts = [0, *accumulate(len(outcome.index) for outcome in outcomes)]
    said = [(start, outcome.said) for start, outcome in zip(starts, outcomes, strict=False) if outcome.said is not None]
    return SetOutcome(
        paragraphs=concatenate([o.paragraphs for o in outcomes]),
        index=torch.cat([o.index for o in outcomes]),
        before=pool([o.before for o in outcomes], about),
        after=pool([o.after for o in outcomes], about),
        said=Said.concatenate(said) if said else None,
        trial=torch.cat([torch.full((len(o.index),), trial) for trial, o in trials]),
    )
