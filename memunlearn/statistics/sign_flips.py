"""In which of many cells is a paired difference above 0? The signs of whole seeds are flipped, for all cells at once."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike

# All flips up to so many seeds (8,192); above, as many drawn at random.
ALL_FLIPS_UP_TO = 13
FLIPS = 9999
# Flipped statistics at a time: the largest array is [flips at once, cells].
NUMBERS_AT_ONCE = 4_000_000
ROUNDING = 1e-9


def above_zero_p(differences: ArrayLike, random_seed: int = 0) -> np.ndarray:
    """One-sided p-values of mean differences above 0, corrected for all cells: [cells] fp64.

    differences: [seeds, cells], NaN where a seed has none. If the two sides of a difference were the same but for chance, each
    seed's differences could as well all have had the other sign (exact for sides that could be exchanged, such as two
    paragraphs drawn alike; where differences are skewed it is approximate). Compared is the sum over the root of the sum of
    squares, which rises with Student's t; p is the share of flips in which it reaches the cell's own anywhere (Westfall and
    Young 1993). The flip that changes nothing is one of them: the smallest p is 1 / 2^seeds (0.03 for 5, 0.001 for 10). A
    cell without any difference is NaN; one whose differences are all 0 has p 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    seeds, cells = values.shape
    there = ~np.isnan(values)
    some = there.any(0)
    squares = np.sqrt(np.square(np.where(there, values, 0)).sum(0))
    standard = np.where(there & (squares > 0), values / np.where(squares > 0, squares, 1), 0)
    observed = standard.sum(0)
    flips = _flips(seeds, random_seed)
    reached = np.zeros(cells, dtype=np.int64)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, cells))
    for start in range(0, len(flips), at_once):
        highest = (flips[start : start + at_once] @ standard).max(1, initial=-np.inf)
        reached += (highest[:, None] >= observed - ROUNDING).sum(0)
    # Zeros are never above 0, whatever the other cells are.
    p = np.where(squares > 0, reached / len(flips), 1.0)
    return np.where(some, p, np.nan)


def _flips(seeds: int, random_seed: int) -> np.ndarray:
    """[flips, seeds] of 1 and -1; the first changes nothing."""
    if seeds <= ALL_FLIPS_UP_TO:
        return np.array(list(product((1.0, -1.0), repeat=seeds))).reshape(-1, seeds)
    drawn = np.random.default_rng(random_seed).choice([1.0, -1.0], size=(FLIPS, seeds))
    return np.concatenate([np.ones((1, seeds)), drawn])
