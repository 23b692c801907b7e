"""Means of many cells at once (layers x heads, positions ...), with intervals from the same resamples of whole clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from memunlearn.statistics.intervals import ANY_NUMBER, FEWEST_CLUSTERS, Limits, cluster_weights, interval_of_means


@dataclass(frozen=True, eq=False)
class Estimates:
    """One estimate a cell, [*cells] each; NaN for what is not there.

    value; low, high: its 95 % interval, NaN where there is none (fewer than FEWEST_CLUSTERS clusters, or all have the same
    mean). rows, clusters: what it rests on.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray
    clusters: np.ndarray

    def numbers(self, cell: tuple[int, ...] = ()) -> dict[str, Any]:
        """One cell as plain numbers: value, low and high (None: not there), rows, clusters."""
        plain: dict[str, Any] = {name: number_or_none(getattr(self, name)[cell]) for name in ("value", "low", "high")}
        return plain | {"rows": int(self.rows[cell]), "clusters": int(self.clusters[cell])}


def number_or_none(value: float) -> float | None:
    """A plain float, or None if it is not finite."""
    return float(value) if math.isfinite(value) else None


def numbers_or_none(values: ArrayLike) -> list[Any]:
    """An array of any shape as nested lists of plain floats, None where one is not finite."""
    array = np.asarray(values, dtype=np.float64)
    return [number_or_none(value) for value in array] if array.ndim == 1 else [numbers_or_none(part) for part in array]


def means_with_intervals(
    values: ArrayLike,
    clusters: ArrayLike,
    seed: int = 0,
    *,
    resamples: int = 2000,
    sizes: ArrayLike | None = None,
    limits: Limits = ANY_NUMBER,
) -> Estimates:
    """Mean over rows of every cell and its 95 % interval over clusters: `intervals.mean_with_interval` of many cells.

    values: [N, *cells] within limits, NaN where a row has no value (it then counts in no mean of that cell). clusters: [N]
    labels. Resamples are of whole clusters, the same ones for every cell. sizes: [N, *cells], where each value is itself a
    mean, of so many: the mean is then over all of those. Raises ValueError if values and clusters differ in length.
    """
    rows = np.asarray(values, dtype=np.float64)
    labels = np.asarray(clusters)
    if rows.ndim < 1 or labels.shape != rows.shape[:1]:
        raise ValueError(f"values [N, *cells] and clusters [N] must be equally long, not {rows.shape} and {labels.shape}")
    cells = rows.shape[1:]
    rows = rows.reshape(len(rows), math.prod(cells))
    there = ~np.isnan(rows)
    each = np.where(there, 1.0 if sizes is None else np.asarray(sizes, dtype=np.float64).reshape(rows.shape), 0.0)
    distinct, cluster_of_row = np.unique(labels, return_inverse=True)
    sums, counts = np.zeros((2, len(distinct), rows.shape[1]))
    np.add.at(sums, cluster_of_row, np.where(there, rows, 0.0) * each)
    np.add.at(counts, cluster_of_row, each)
    low, high = np.full((2, rows.shape[1]), np.nan)
    if len(distinct) >= FEWEST_CLUSTERS:
        weights = cluster_weights(np.zeros(len(distinct), dtype=np.int64), np.random.default_rng(seed), resamples)
        low, high = interval_of_means(sums, counts, np.concatenate(weights), limits)
    number = (counts > 0).sum(0)
    shaped = [array.reshape(cells) for array in (_ratio(sums.sum(0), counts.sum(0)), low, high, there.sum(0), number)]
    return Estimates(*shaped)


def _ratio(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(sums, sizes, out=np.full(np.broadcast(sums, sizes).shape, np.nan), where=sizes > 0)
    return ratio
