"""Every metric on a set of paragraphs, against the base model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.paragraphs.bins import is_memorized, is_non_memorized
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates
from memunlearn.scoring.greedy import own_continuations
from memunlearn.scoring.score import ParagraphScores, reference_states, score
from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.proportions import clustered_share


@dataclass(frozen=True)
class Baseline:
    """What the base model says of one set, measured once: later models are compared with it, and it is not run again.

    paragraphs: N rows; clusters: [N] int64. scores: EM, longest run, NLL. states: hidden states [N, C, D].
    own: the same prefixes with the base model's own greedy continuations; None where self-EM is not asked for.
    """

    paragraphs: ParagraphSet
    clusters: Tensor
    scores: ParagraphScores
    states: ReferenceStates
    own: ParagraphSet | None

    def select(self, rows: Tensor) -> Baseline:
        return Baseline(
            self.paragraphs.select(rows),
            self.clusters[rows],
            self.scores.select(rows),
            self.states.select(rows),
            None if self.own is None else self.own.select(rows),
        )


@dataclass(frozen=True)
class Measurement:
    """A model on one set. scores: EM, longest run, NLL and (against a base model) KL. self_em: [N] int64, 0..C, or None."""

    clusters: Tensor
    scores: ParagraphScores
    self_em: Tensor | None


def measure_base(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    clusters: Tensor,
    batch_size: int,
    name: str,
    with_own: bool = True,
    directory: Path | None = None,
) -> Baseline:
    """Scores, hidden states and (with_own) greedy continuations of the base model; large states go to a file in directory."""
    scores, states = reference_states(model, paragraphs, batch_size, directory, f"scoring {name}")
    own = own_continuations(model, paragraphs, scores.em, batch_size, f"decoding {name}") if with_own else None
    return Baseline(paragraphs, clusters, scores, states, own)


def base_measurement(baseline: Baseline) -> Measurement:
    """The base model measured against itself: by definition KL is 0 and self-EM is C."""
    length = baseline.paragraphs.continuation_length
    self_em = None if baseline.own is None else torch.full((len(baseline.paragraphs),), length)
    return Measurement(baseline.clusters, baseline.scores, self_em)


def measure(model: PreTrainedModel, baseline: Baseline, batch_size: int, name: str | None = None) -> Measurement:
    """The current model on the baseline's rows.

    Self-EM needs no decoding: it is EM on the base model's own continuations (one more teacher-forced pass).
    """
    label = None if name is None else f"scoring {name}"
    scores = score(model, baseline.paragraphs, batch_size, baseline.states, description=label)
    if baseline.own is None:
        return Measurement(baseline.clusters, scores, None)
    differs = (baseline.own.ids != baseline.paragraphs.ids).any(1)
    self_em = scores.em.clone()
    self_em[differs] = score(model, baseline.own.select(differs), batch_size, description=label).em
    return Measurement(baseline.clusters, scores, self_em)


def pool(measurements: list[Measurement]) -> Measurement:
    """Several measurements as one: the trials of a per-paragraph run."""
    scores = [m.scores for m in measurements]
    kl = [s.kl for s in scores if s.kl is not None]
    self_em = [m.self_em for m in measurements if m.self_em is not None]
    return Measurement(
        torch.cat([m.clusters for m in measurements]),
        ParagraphScores(
            torch.cat([s.em for s in scores]),
            torch.cat([s.longest_run for s in scores]),
            torch.cat([s.token_nll for s in scores]),
            torch.cat(kl) if kl else None,
        ),
        torch.cat(self_em) if self_em else None,
    )


def em_p95(em: Tensor) -> int:
    """The 95th percentile of EM [N], as one of the values: never below what 95 % of the rows reach."""
    return int(np.percentile(em.numpy(), 95, method="higher"))


def summarize(measurement: Measurement, seed: int = 0) -> dict[str, Any] | None:
    """The set's entry in result.json: means over rows with 95 % bootstrap intervals over clusters; None for an empty set.

    nll and kl in nats per token; em, longest_run and self_em in tokens, 0..C; memorized and non_memorized are shares,
    0..1, with the interval of `clustered_share`. longest_common_run is null: nothing is decoded here (`summarize_common_runs`).
    """
    scores = measurement.scores
    if not len(scores.em):
        return None
    length = scores.token_nll.shape[1]
    clusters = measurement.clusters.numpy()
    shares = {"memorized": is_memorized(scores.em, length), "non_memorized": is_non_memorized(scores.em, length)}
    means = {
        "em": scores.em,
        "longest_run": scores.longest_run,
        "nll": scores.nll,
        "kl": scores.kl,
        "self_em": measurement.self_em,
    }
    summary: dict[str, Any] = {
        "n": len(scores.em),
        "clusters": len(measurement.clusters.unique()),
        "em_p95": em_p95(scores.em),
    }
    for name, hits in shares.items():
        summary[name], interval = clustered_share(hits.numpy(), clusters)
        summary[f"{name}_ci"] = list(interval)
    for name, values in means.items():
        if values is None:
            summary[name] = None
            continue
        summary[name], interval = mean_with_interval(values.double().numpy(), clusters, seed)
        summary[f"{name}_ci"] = list(interval)
    return summary | summarize_common_runs(None, measurement.clusters)


def summarize_common_runs(runs: Tensor | None, clusters: Tensor, seed: int = 0) -> dict[str, Any]:
    """longest_common_run: mean, in tokens, over the rows that were decoded, and how many these are (`longest_common_run_n`).

    runs: [m] longest common run of what a model says with the continuation, and clusters [m]; None where nothing was decoded.
    """
    if runs is None or not len(runs):
        return {"longest_common_run": None, "longest_common_run_n": 0}
    mean, interval = mean_with_interval(runs.double().numpy(), clusters.numpy(), seed)
    return {"longest_common_run": mean, "longest_common_run_ci": list(interval), "longest_common_run_n": len(runs)}


def summarize_alternatives(scores: ParagraphScores, clusters: Tensor, seed: int = 0) -> dict[str, Any]:
    """alternative_em and alternative_nll of an edit: EM and NLL of the alternatives given the original prefixes."""
    summary: dict[str, Any] = {"alternatives": len(scores.em)}
    for name, values in (("alternative_em", scores.em), ("alternative_nll", scores.nll)):
        if len(values):
            mean, interval = mean_with_interval(values.double().numpy(), clusters.numpy(), seed)
            summary[name], summary[f"{name}_ci"] = mean, list(interval)
        else:
            summary[name] = None
    return summary
