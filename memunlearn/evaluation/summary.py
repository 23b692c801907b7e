"""A set's entry in result.json: means over rows with intervals over clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from memunlearn.evaluation.suite import Measurement
from memunlearn.scoring.metric import (
    FromPass,
    FromPassAndBase,
    FromText,
    FromTextSize,
    Metric,
    OfAlternatives,
    OfMean,
    OfOwnText,
    Percentile,
    ShareOfRows,
    percentile,
)
from memunlearn.scoring.metrics import METRICS, metrics_from
from memunlearn.scoring.score import ParagraphScores
from memunlearn.statistics.intervals import Interval
from memunlearn.statistics.two_way import mean_over_units, share_over_units, why_no_interval


@dataclass(frozen=True)
class Summary:
    """Part of an entry. numbers: by key, with `<key>_ci` (null where no interval is honest). missing: why those lack one."""

    numbers: Mapping[str, Any]
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Units:
    """What is resampled for intervals. clusters: [N] of the rows; trials: [N] as in `Measurement`, or None."""

    clusters: np.ndarray
    trials: np.ndarray | None
    seed: int

    def mean(self, metric: Metric, values: Tensor, length: int) -> Summary:
        """The mean of values [N] of paragraphs with `length` continuation tokens, with its interval."""
        rows = values.double().numpy()
        mean, interval = mean_over_units(rows, self.clusters, self.trials, self.seed, metric.unit.limits(length))
        return self._summary(metric, mean, interval, rows)

    def share(self, metric: Metric, hits: Tensor) -> Summary:
        """The share of hits [N] bool, with its interval."""
        share, interval = share_over_units(hits.numpy(), self.clusters, self.trials)
        return self._summary(metric, share, interval, hits.double().numpy())

    def _summary(self, metric: Metric, value: float, interval: Interval | None, rows: np.ndarray) -> Summary:
        numbers = {metric.key: value, f"{metric.key}_ci": None if interval is None else list(interval)}
        why = {metric.key: why_no_interval(rows, self.clusters, self.trials)} if interval is None else {}
        return Summary(numbers, why)


def summarize(measurement: Measurement, seed: int = 0) -> Summary | None:
    """Means, shares and percentiles of every metric of rows; None for an empty set.

    Each in its metric's unit, shares 0..1; what was not measured is null. Intervals are those of `mean_over_units` and
    `share_over_units`.
    """
    if not len(measurement.clusters):
        return None
    length = measurement.scores.token_nll.shape[1]
    trials = None if measurement.trials is None else measurement.trials.numpy()
    units = Units(measurement.clusters.numpy(), trials, seed)
    parts = [Summary({"n": len(measurement.clusters), "clusters": len(measurement.clusters.unique())})]
    for metric, of_rows in metrics_from(Percentile):
        if (values := measurement.values(of_rows.of)) is not None:
            parts.append(Summary({metric.key: percentile(values, of_rows.q)}))
    for metric, share in metrics_from(ShareOfRows):
        if (values := measurement.values(share.of)) is not None:
            parts.append(units.share(metric, share.hit(values, length)))
    for metric in METRICS:
        if isinstance(metric.source, FromPass | FromPassAndBase | FromTextSize | OfOwnText):
            values = measurement.values(metric)
            parts.append(Summary({metric.key: None}) if values is None else units.mean(metric, values, length))
    means = _together(parts)
    return _together([means, *(_of_mean(metric, source, means) for metric, source in metrics_from(OfMean))])


def _of_mean(metric: Metric, source: OfMean, means: Summary) -> Summary:
    """The mean's, through the metric's function."""
    key, bounds = source.of.key, means.numbers[f"{source.of.key}_ci"]
    interval = None if bounds is None else [source.function(bound) for bound in bounds]
    numbers = {metric.key: source.function(means.numbers[key]), f"{metric.key}_ci": interval}
    return Summary(numbers, {metric.key: means.missing[key]} if interval is None else {})


def summarize_texts(
    said: Mapping[str, Tensor] | None, clusters: Tensor, length: int, trials: Tensor | None = None, seed: int = 0
) -> Summary:
    """Means and shares of the metrics of decoded text, and over how many rows (`<key>_n`).

    said: by key [m], of the rows that were decoded; clusters [m], and trials [m] as in `Measurement`. None where nothing was.
    """
    parts = []
    units = Units(clusters.numpy(), None if trials is None else trials.numpy(), seed)
    for metric, _ in metrics_from(FromText):
        values = None if said is None else said.get(metric.key)
        parts.append(Summary({metric.key: None, f"{metric.key}_n": 0 if values is None else len(values)}))
        if values is not None and len(values):
            parts.append(units.mean(metric, values, length))
    for metric, share in metrics_from(ShareOfRows):
        if isinstance(share.of.source, FromText):
            values = None if said is None else said.get(share.of.key)
            parts.append(Summary({metric.key: None, f"{metric.key}_n": 0 if values is None else len(values)}))
            if values is not None and len(values):
                parts.append(units.share(metric, share.hit(values, length)))
    return _together(parts)


def summarize_alternatives(scores: ParagraphScores, clusters: Tensor, seed: int = 0) -> Summary:
    """Means of the metrics of an edit's alternatives given the original prefixes."""
    parts = [Summary({"alternatives": len(scores)})]
    units = Units(clusters.numpy(), None, seed)
    for metric, source in metrics_from(OfAlternatives):
        values, length = scores.values[source.of.key], scores.token_nll.shape[1]
        parts.append(units.mean(metric, values, length) if len(scores) else Summary({metric.key: None}))
    return _together(parts)


def _together(parts: Sequence[Summary]) -> Summary:
    """The parts' numbers, the later ones in place of earlier ones."""
    numbers = {key: value for part in parts for key, value in part.numbers.items()}
    return Summary(numbers, {key: why for part in parts for key, why in part.missing.items()})


def entry_of(parts: Sequence[Summary | None]) -> dict[str, Any] | None:
    """The parts' numbers, the later ones in place of earlier ones, and `interval_note`, which says why intervals are null.

    `no interval for em, nll: 4 clusters, and an interval needs 10`, each reason once. None where there is no part (an empty
    set).
    """
    known = [part for part in parts if part is not None]
    if not known:
        return None
    entry: dict[str, Any] = {}
    of_reason: dict[str, list[str]] = {}
    for part in known:
        entry |= part.numbers
        for key, reason in part.missing.items():
            of_reason.setdefault(reason, []).append(key)
        if of_reason:
            entry.setdefault("interval_note", "")
    if of_reason:
        entry["interval_note"] = "; ".join(f"no interval for {', '.join(keys)}: {why}" for why, keys in of_reason.items())
    return entry
