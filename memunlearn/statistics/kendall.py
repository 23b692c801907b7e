"""Kendall's tau-b of many pairs of variables at once, and within columns: what a column has in common does not count."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from memunlearn.statistics.estimates import cluster_weights, number_or_none
from memunlearn.statistics.intervals import CONFIDENCE
from memunlearn.statistics.two_groups import Comparison

# Pairs compared at a time: long prefixes have many.
PAIRS_AT_ONCE = 2_000_000


def tau_b(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Kendall's tau-b along the last axis, [...] fp64: x, y [..., P], broadcast against each other.

    Places where x or y is NaN are left out. NaN where fewer than two remain or one of the two is constant. Equal to
    `scipy.stats.kendalltau`, which takes one pair of variables a call.
    """
    left, right = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    places = left.shape[-1]
    one, other = np.triu_indices(places, k=1)
    at_once = max(1, PAIRS_AT_ONCE // max(1, len(one)))
    rows_left, rows_right = left.reshape(-1, places), right.reshape(-1, places)
    taus = np.full(len(rows_left), np.nan)
    for start in range(0, len(taus), at_once):
        part = slice(start, start + at_once)
        sign_left = np.sign(rows_left[part, one] - rows_left[part, other])
        sign_right = np.sign(rows_right[part, one] - rows_right[part, other])
        there = ~np.isnan(sign_left + sign_right)
        sign_left, sign_right = np.where(there, sign_left, 0.0), np.where(there, sign_right, 0.0)
        scale = np.sqrt(np.abs(sign_left).sum(-1) * np.abs(sign_right).sum(-1))
        np.divide((sign_left * sign_right).sum(-1), scale, out=taus[part], where=scale > 0)
    return taus.reshape(left.shape[:-1])


def tau_within_columns(x: ArrayLike, y: ArrayLike, clusters: ArrayLike) -> tuple[float | None, int]:
    """tau-b over rows in each column, averaged over the columns where it exists: (tau, number of such columns).

    x, y: [N, P], NaN where there is no value; clusters: [N] labels. Only pairs of rows in different clusters are compared:
    near-duplicates agree in everything. tau is None where no column has one.
    """
    left, right, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), np.asarray(clusters)
    taus = [_tau(*_pairs(left[:, column], right[:, column], labels)) for column in range(left.shape[1])]
    found = [tau for tau in taus if tau is not None]
    return (float(np.mean(found)) if found else None), len(found)


def tau_within_columns_with_interval(
    x: ArrayLike, y: ArrayLike, clusters: ArrayLike, seed: int = 0, resamples: int = 500
) -> Comparison:
    """`tau_within_columns` with its 95 % percentile interval: whole clusters are resampled.

    A pair of clusters counts as often as both were drawn; two draws of one cluster are not compared with each other. None with
    fewer than three clusters.
    """
    value, _ = tau_within_columns(x, y, clusters)
    distinct, of_row = np.unique(np.asarray(clusters), return_inverse=True)
    if value is None or len(distinct) < 3:
        return Comparison(value, None, None)
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    draws = np.random.default_rng(seed)
    weights = np.concatenate(cluster_weights(np.zeros(len(distinct), dtype=np.int64), draws, resamples))
    member = np.eye(len(distinct))[of_row]
    total, columns = np.zeros((2, resamples))
    for column in range(left.shape[1]):
        by_cluster = (member.T @ pairs @ member for pairs in _pairs(left[:, column], right[:, column], of_row))
        agreement, in_left, in_right = (((weights @ pairs) * weights).sum(1) for pairs in by_cluster)
        scale = np.sqrt(in_left * in_right)
        there = scale > 0
        total[there] += agreement[there] / scale[there]
        columns += there
    tail = 100 * (1 - CONFIDENCE) / 2
    taus = np.divide(total, columns, out=np.full(resamples, np.nan), where=columns > 0)
    low, high = np.nanpercentile(taus, [tail, 100 - tail])
    return Comparison(value, number_or_none(min(low, value)), number_or_none(max(high, value)))


def _pairs(x: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every two rows [N, N] of different clusters with both values: agreement (-1, 0, 1), whether x differs, and y."""
    between = (clusters[:, None] != clusters[None, :]) & ~np.isnan(x + y)[:, None] & ~np.isnan(x + y)[None, :]
    sign_x, sign_y = (np.where(between, np.sign(v[:, None] - v[None, :]), 0.0) for v in (x, y))
    return sign_x * sign_y, np.abs(sign_x), np.abs(sign_y)


def _tau(agreement: np.ndarray, in_x: np.ndarray, in_y: np.ndarray) -> float | None:
    scale = float(np.sqrt(in_x.sum() * in_y.sum()))
    return float(agreement.sum()) / scale if scale else None
