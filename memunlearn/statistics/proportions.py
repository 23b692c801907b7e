"""Shares with exact intervals: none of 32 is not the same as none."""

from __future__ import annotations

from scipy.stats import binomtest

from memunlearn.statistics.intervals import CONFIDENCE


def share_with_interval(hits: int, n: int) -> tuple[float, tuple[float, float]]:
    """hits / n and its exact 95 % interval (Clopper and Pearson 1934), for n independent trials: (share, (low, high)).

    0 of 32 allows up to 10.9 %. Raises ValueError unless 0 <= hits <= n and n >= 1.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"hits and n must hold 0 <= hits <= n and n >= 1, not {hits} of {n}")
    interval = binomtest(hits, n).proportion_ci(CONFIDENCE, method="exact")
    return hits / n, (float(interval.low), float(interval.high))
