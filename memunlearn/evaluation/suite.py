"""Every metric on a set of paragraphs, against the base model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.greedy import own_continuations
from memunlearn.scoring.metric import FromTextSize, Metric, OfOwnText
from memunlearn.scoring.metrics import metrics_from
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import ParagraphScores, reference_states, score


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What the base model says of one set, measured once: later models are compared with it, and it is not run again.

    paragraphs: N rows; clusters: [N] int64. scores: as `reference_states` gives them. states: hidden states [N, C, D].
    own: the same prefixes with the base model's own greedy continuations; None where the set is not to be reported.
    sampling: how p_z is measured, of later models too; None where it is not.
    """

    paragraphs: ParagraphSet
    clusters: Tensor
    scores: ParagraphScores
    states: ReferenceStates
    own: ParagraphSet | None
    sampling: Sampling | None = None

    def select(self, rows: Tensor) -> Baseline:
        return Baseline(
            paragraphs=self.paragraphs.select(rows),
            clusters=self.clusters[rows],
            scores=self.scores.select(rows),
            states=self.states.select(rows),
            own=None if self.own is None else self.own.select(rows),
            sampling=self.sampling,
        )


@dataclass(frozen=True)
class Measurement:
    """A model on one set. scores: the metrics of the pass and (against a base model) those that compare with it.

    own: [N] each, by the key of every metric of the base model's own continuations (self-EM); None where nobody asks for them.
    trials: [N] int64, one paragraph at a time: the cluster of the paragraph that each row's trial was about; else None.
    """

    clusters: Tensor
    scores: ParagraphScores
    own: Mapping[str, Tensor] | None
    trials: Tensor | None = None

    def values(self, metric: Metric) -> Tensor | None:
        """[N] of a metric of rows; None where it was not measured."""
        return {**self.scores.values, **(self.own or {})}.get(metric.key)

    def column(self, metric: Metric) -> list[float | None] | None:
        """The same for a file, null in place of what is infinitely low (log p_z where p_z is 0)."""
        values = self.values(metric)
        return None if values is None else [None if value == -math.inf else value for value in values.tolist()]

    def with_text_bytes(self, text_bytes: Tensor) -> Measurement:
        """With the metrics that need to know how many bytes each continuation's text takes, compressed [N]."""
        of_sizes = {metric.key: of.compute(self.scores.token_nll, text_bytes) for metric, of in metrics_from(FromTextSize)}
        return replace(self, scores=replace(self.scores, values={**self.scores.values, **of_sizes}))

    def select(self, rows: Tensor) -> Measurement:
        own = None if self.own is None else {key: values[rows] for key, values in self.own.items()}
        trials = None if self.trials is None else self.trials[rows]
        return Measurement(self.clusters[rows], self.scores.select(rows), own, trials)


def measure_base(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    clusters: Tensor,
    *,
    batch_size: int,
    name: str,
    with_own: bool = True,
    directory: Path | None = None,
    details: bool | None = None,
    sampling: Sampling | None = None,
) -> Baseline:
    """Scores and hidden states of the base model; large states go to a file in directory.

    with_own: for a set that is reported; also its greedy continuations. details: the metrics that only such sets are measured
    by, too, p_z among them where there is a sampling; None: where with_own is.
    """
    details = with_own if details is None else details
    sampling = sampling if details else None
    scores, states = reference_states(
        model, paragraphs, batch_size, directory, f"scoring {name}", details=details, sampling=sampling
    )
    own = own_continuations(model, paragraphs, scores.em, batch_size, f"decoding {name}") if with_own else None
    return Baseline(paragraphs=paragraphs, clusters=clusters, scores=scores, states=states, own=own, sampling=sampling)


def base_measurement(baseline: Baseline) -> Measurement:
    """The base model measured against itself: by definition KL is 0 and self-EM is C."""
    rows, length = len(baseline.paragraphs), baseline.paragraphs.continuation_length
    own = {metric.key: torch.full((rows,), source.itself(length)) for metric, source in metrics_from(OfOwnText)}
    return Measurement(baseline.clusters, baseline.scores, None if baseline.own is None else own)


def measure(
    model: PreTrainedModel,
    baseline: Baseline,
    batch_size: int,
    name: str | None = None,
    *,
    record: ReferenceStates | None = None,
) -> Measurement:
    """The current model on the baseline's rows. record: as in `score`.

    Self-EM needs no decoding: it is EM on the base model's own continuations (one more teacher-forced pass).
    """
    label = None if name is None else f"scoring {name}"
    scores = score(
        model,
        baseline.paragraphs,
        batch_size,
        reference=baseline.states,
        record=record,
        description=label,
        details=baseline.own is not None,
        sampling=baseline.sampling,
    )
    if baseline.own is None:
        return Measurement(baseline.clusters, scores, None)
    differs = (baseline.own.ids != baseline.paragraphs.ids).any(1)
    of_own = score(model, baseline.own.select(differs), batch_size, description=label)
    own = {}
    for metric, source in metrics_from(OfOwnText):
        own[metric.key] = scores.values[source.of.key].clone()
        own[metric.key][differs] = of_own.values[source.of.key]
    return Measurement(baseline.clusters, scores, own)


def pool(measurements: list[Measurement], trial_clusters: list[int]) -> Measurement:
    """Several measurements as one: the trials of a per-paragraph run, each about a paragraph of one of trial_clusters."""
    own = [m.own for m in measurements if m.own is not None]
    return Measurement(
        torch.cat([m.clusters for m in measurements]),
        ParagraphScores.concatenate([m.scores for m in measurements]),
        {key: torch.cat([values[key] for values in own]) for key in own[0]} if own else None,
        torch.tensor(trial_clusters).repeat_interleave(torch.tensor([len(m.clusters) for m in measurements])),
    )
