"""Kendall's tau-b of many pairs of variables at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

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
