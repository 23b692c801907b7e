"""Shares with intervals that hold for few trials: none of 32 is not the same as none."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from memunlearn.statistics.intervals import CONFIDENCE, Interval, too_few_clusters


def share_with_interval(hits: float, n: float) -> tuple[float, Interval]:
    """hits / n and its exact 95 % interval (Clopper and Pearson 1934), for n independent trials: (share, (low, high)).

    0 of 32 allows up to 10.9 %. hits and n may be fractions (see `clustered_share`). Raises ValueError unless
    0 <= hits <= n and n >= 1.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"hits and n must hold 0 <= hits <= n and n >= 1, not {hits} of {n}")
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return hits / n, (low, high)


def clustered_share(hits: ArrayLike, clusters: ArrayLike) -> tuple[float, Interval | None]:
    """Share of rows that are hits, and its 95 % interval: exact where each row is a cluster of its own.

    hits: [N] bool; clusters: [N] labels. Otherwise Clopper and Pearson's with an effective sample size (Korn and Graubard
    1998), N^2 / (sum of squared cluster sizes): that of a mean over rows whose clusters are hit or missed whole. There is
    one where all rows are hits, or none is; None with fewer than FEWEST_CLUSTERS clusters. Raises ValueError where there are no
    rows.
    """
    rows, labels = np.asarray(hits, dtype=bool), np.asarray(clusters)
    if not len(rows) or rows.shape != labels.shape:
        raise ValueError(f"hits and clusters must be equally long, with at least one row, not {rows.shape}, {labels.shape}")
    sizes = np.unique(labels, return_counts=True)[1].astype(np.float64)
    share, trials = float(rows.mean()), float(len(rows) ** 2 / np.square(sizes).sum())
    return share, None if too_few_clusters(len(sizes)) else share_with_interval(share * trials, trials)[1]
