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
from memunlearn.statistics.intervals import Interval, Limits
from memunlearn.statistics.two_way import mean_over_units, share_over_units, why_no_interval


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
    """A model on one set. scores: EM, longest run, NLL and (against a base model) KL. self_em: [N] int64, 0..C, or None.

    trials: [N] int64, one paragraph at a time: the cluster of the paragraph that each row's trial was about; else None.
    """

    clusters: Tensor
    scores: ParagraphScores
    self_em: Tensor | None
    trials: Tensor | None = None


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


def pool(measurements: list[Measurement], trial_clusters: list[int]) -> Measurement:
    """Several measurements as one: the trials of a per-paragraph run, each about a paragraph of one of trial_clusters."""
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
        torch.tensor(trial_clusters).repeat_interleave(torch.tensor([len(m.clusters) for m in measurements])),
    )


def em_p95(em: Tensor) -> float:
    """The 95th percentile of EM [N], linear between the two rows around it (numpy's default): the highest row alone only for
    one row, and as many of 20 rows as of 1,000 decide what it is."""
    return float(np.percentile(em.numpy(), 95))


def summarize(measurement: Measurement, seed: int = 0) -> dict[str, Any] | None:
    """The set's entry in result.json: means over rows with 95 % intervals over clusters; None for an empty set.

    nll and kl in nats per token; em, longest_run and self_em in tokens, 0..C; memorized and non_memorized are shares, 0..1.
    Their intervals are those of `mean_over_units` and `share_over_units`; where one is None, interval_note says why.
    longest_common_run is null: nothing is decoded here (`summarize_common_runs`).
    """
    scores = measurement.scores
    if not len(scores.em):
        return None
    length = scores.token_nll.shape[1]
    clusters, trials = measurement.clusters.numpy(), None if measurement.trials is None else measurement.trials.numpy()
    shares = {"memorized": is_memorized(scores.em, length), "non_memorized": is_non_memorized(scores.em, length)}
    tokens, nats = (0.0, float(length)), (0.0, np.inf)
    means: dict[str, tuple[Tensor | None, Limits]] = {
        "em": (scores.em, tokens),
        "longest_run": (scores.longest_run, tokens),
        "nll": (scores.nll, nats),
        "kl": (scores.kl, nats),
        "self_em": (measurement.self_em, tokens),
    }
    summary: dict[str, Any] = {
        "n": len(scores.em),
        "clusters": len(measurement.clusters.unique()),
        "em_p95": em_p95(scores.em),
    }
    missing: dict[str, str] = {}
    for name, hits in shares.items():
        summary[name], interval = share_over_units(hits.numpy(), clusters, trials)
        _add_interval(summary, name, interval, missing, hits, clusters, trials)
    for name, (values, limits) in means.items():
        if values is None:
            summary[name] = None
            continue
        summary[name], interval = mean_over_units(values.double().numpy(), clusters, trials, seed, limits)
        _add_interval(summary, name, interval, missing, values, clusters, trials)
    return summary | _interval_note(missing) | summarize_common_runs(None, measurement.clusters, length)


def summarize_common_runs(
    runs: Tensor | None, clusters: Tensor, length: int, trials: Tensor | None = None, seed: int = 0
) -> dict[str, Any]:
    """longest_common_run: mean, in tokens, over the rows that were decoded, and how many these are (`longest_common_run_n`).

    runs: [m] longest common run of what a model says with the continuation (0..length), clusters [m], and trials [m] as in
    `Measurement`; None where nothing was decoded.
    """
    if runs is None or not len(runs):
        return {"longest_common_run": None, "longest_common_run_n": 0}
    summary: dict[str, Any] = {"longest_common_run_n": len(runs)}
    missing: dict[str, str] = {}
    of_rows, of_trials = clusters.numpy(), None if trials is None else trials.numpy()
    limits = (0.0, float(length))
    summary["longest_common_run"], interval = mean_over_units(runs.double().numpy(), of_rows, of_trials, seed, limits)
    _add_interval(summary, "longest_common_run", interval, missing, runs, of_rows, of_trials)
    return summary | _interval_note(missing)


def summarize_alternatives(scores: ParagraphScores, clusters: Tensor, seed: int = 0) -> dict[str, Any]:
    """alternative_em and alternative_nll of an edit: EM and NLL of the alternatives given the original prefixes."""
    summary: dict[str, Any] = {"alternatives": len(scores.em)}
    length, labels = scores.token_nll.shape[1], clusters.numpy()
    missing: dict[str, str] = {}
    for name, values, limits in (
        ("alternative_em", scores.em, (0.0, float(length))),
        ("alternative_nll", scores.nll, (0.0, np.inf)),
    ):
        summary[name] = None
        if len(values):
            summary[name], interval = mean_over_units(values.double().numpy(), labels, None, seed, limits)
            _add_interval(summary, name, interval, missing, values, labels, None)
    return summary | _interval_note(missing)


def combined(summary: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A set's entry with what is summarized apart (alternatives, common runs); both notes on intervals."""
    notes = [one["interval_note"] for one in (summary, more) if "interval_note" in one]
    return summary | more | ({"interval_note": "; ".join(notes)} if notes else {})


def _add_interval(
    summary: dict[str, Any],
    name: str,
    interval: Interval | None,
    missing: dict[str, str],
    values: Tensor,
    clusters: np.ndarray,
    trials: np.ndarray | None,
) -> None:
    summary[f"{name}_ci"] = None if interval is None else list(interval)
    if interval is None:
        missing[name] = why_no_interval(values.double().numpy(), clusters, trials)


def _interval_note(missing: dict[str, str]) -> dict[str, str]:
    """`no interval for em, nll: 4 clusters, and an interval needs 10`; nothing where none is missing."""
    if not missing:
        return {}
    names = {reason: [name for name, own in missing.items() if own == reason] for reason in missing.values()}
    return {
        "interval_note": "; ".join(f"no interval for {', '.join(of_reason)}: {reason}" for reason, of_reason in names.items())
    }
