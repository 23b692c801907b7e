"""Is anything linked to the frequency of tokens? A frequency belongs to a token type, so types are what chance is made of.

A few frequent types stand in most rows: rows drawn anew say how well their mean is known, never whether another assignment of
frequencies to types would have given the same. So the frequencies of all types are shuffled over them, and everything that was
done with the frequencies is done again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

# Statistics are made in fp32: below this share of its size a spread is rounding, and two of them are equal.
ROUNDING = 1e-6


def shuffles(frequency: ArrayLike, permutations: int, seed: int = 0) -> np.ndarray:
    """Frequencies [U] of token types as they are, then shuffled over the types: [1 + permutations, U] fp64.

    Raises ValueError where there is no permutation.
    """
    values = np.asarray(frequency, dtype=np.float64)
    if permutations < 1:
        raise ValueError(f"{permutations} permutations: a test needs at least one")
    draws = np.random.default_rng(seed)
    return np.concatenate([values[None], draws.permuted(np.tile(values, (permutations, 1)), axis=1)])


def max_p(statistics: ArrayLike) -> np.ndarray:
    """Two-sided p-values, corrected for all cells at once: [*cells] fp64, NaN in cells that are NaN as observed.

    statistics: [1 + B, *cells], as observed and under B shuffles. A cell's statistic is measured from its mean in units of its
    spread, both over all 1 + B; p = (1 + shuffles whose largest deviation of any cell reaches this cell's) / (1 + B), so the
    smallest is 1 / (1 + B) (Westfall and Young 1993). A cell that shuffling does not change has p 1. NaN under a shuffle
    counts as the mean.
    """
    values = np.asarray(statistics, dtype=np.float64)
    cells = values.reshape(len(values), -1)
    there = ~np.isnan(cells[0])
    deviations = np.abs(_standardized(cells[:, there]))
    highest = deviations.max(1, initial=0)[1:, None]
    p = np.full(cells.shape[1], np.nan)
    p[there] = (1 + (highest >= deviations[0] * (1 - ROUNDING)).sum(0)) / len(values)
    return p.reshape(values.shape[1:])


def named_p(z: ArrayLike) -> float:
    """Two-sided p-value of the z statistic of a cell that was itself chosen, anew under each shuffle: [1 + B] -> float.

    Twice the smaller tail, each with the observed one among the shuffles: those of a cell chosen for being extreme do not lie
    around 0. At least what the normal distribution gives, as in `linked_p`. NaN where z is NaN as observed; a shuffle that
    gives NaN reaches both tails.
    """
    values = np.asarray(z, dtype=np.float64)
    if np.isnan(values[0]):
        return float("nan")
    margin = ROUNDING * np.nanmax(np.abs(values))
    above = 1 + (~(values[1:] < values[0] - margin)).sum()
    below = 1 + (~(values[1:] > values[0] + margin)).sum()
    return float(max(min(1.0, 2 * min(above, below) / len(values)), 2 * norm.sf(abs(values[0]))))


def linked_p(z: ArrayLike) -> np.ndarray:
    """`max_p` of z statistics (`frequency_link.Link`), but at least what the normal distribution gives: [*cells].

    Shuffled frequencies are no longer those of the types that occur often, so that no few types decide a z, and large ones are
    rarer than they should be; without a link with frequency z is about standard normal. Corrected for all cells (Sidak 1967).
    """
    values = np.asarray(z, dtype=np.float64)
    there = int((~np.isnan(values[0])).sum())
    corrected: np.ndarray = np.maximum(max_p(values), 1 - (1 - 2 * norm.sf(np.abs(values[0]))) ** there)
    return corrected


def _standardized(cells: np.ndarray) -> np.ndarray:
    """Each cell with mean 0 and spread 1 over its statistics; 0 where they are constant but for rounding, and for NaN."""
    mean, spread = np.nanmean(cells, 0), np.nanstd(cells, 0)
    constant = spread <= ROUNDING * np.nanmax(np.abs(cells), 0, initial=0)
    return np.nan_to_num(np.where(constant, 0, (cells - mean) / np.where(constant, 1, spread)))
