"""How well a ranking finds what is known to be there: exact, over many scores, whatever the order of ties.

torchmetrics' average precision is not used: it squashes scores outside 0..1 through a sigmoid, which makes ties of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma


@dataclass(frozen=True)
class Retrieval:
    """auprc: average precision, 0..1. recall_at_k: share of the k true items among the k highest scores, 0..1.

    k: number of true items; of: number of items. What a random ranking has on average: `auprc_by_chance`, `recall_by_chance`.
    """

    auprc: float
    recall_at_k: float
    k: int
    of: int

    @property
    def auprc_by_chance(self) -> float:
        return auprc_by_chance(self.k, self.of)

    @property
    def recall_by_chance(self) -> float:
        return self.k / self.of


def auprc_by_chance(k: int, of: int) -> float:
    """Mean average precision of random rankings of `of` items without ties, of which k are true.

    A true item is at each rank r alike, with (r - 1) (k - 1) / (of - 1) others before it on average: the mean over r of
    (1 + that) / r. Above k / of, and well above for small k: 0.01 instead of 0.001 for 1 of 1,000.
    """
    if of == 1:
        return 1.0
    harmonic = float(digamma(of + 1)) + np.euler_gamma
    return (harmonic + (k - 1) / (of - 1) * (of - harmonic)) / of


class Ranking:
    """Scores [n], highest first, sorted once for any number of truths.

    Needs the scores twice in memory. Raises ValueError for no scores and for NaN.
    """

    def __init__(self, scores: ArrayLike) -> None:
        self.scores = np.asarray(scores)
        if self.scores.ndim != 1 or not len(self.scores):
            raise ValueError(f"a ranking needs a list of at least one score, not {self.scores.shape}")
        self.ascending = np.sort(self.scores)
        if np.isnan(self.ascending[-1]):  # NaN sorts last
            raise ValueError("NaN cannot be ranked")

    def find(self, truth: ArrayLike) -> Retrieval:
        """truth: [k] positions of the true items, each once, at least one.

        AUPRC = sum over distinct scores t of a true item: (true items that score t / k) x precision of "t or higher" (as in
        scikit-learn; no interpolation). Equal scores are one threshold, so their order does not matter. Recall at k: where
        equal scores lie on both sides of rank k, its expectation over their order.
        """
        positions = np.asarray(truth)
        k, n = len(positions), len(self.scores)
        if not k or len(np.unique(positions)) != k:
            raise ValueError(f"truth must be at least one position, each once, not {k} with repetitions")
        true_scores = np.sort(self.scores[positions])
        as_high = n - np.searchsorted(self.ascending, true_scores, side="left")
        true_as_high = k - np.searchsorted(true_scores, true_scores, side="left")
        border = self.ascending[n - k]
        higher, ties = _count(self.ascending, border)
        true_higher, true_ties = _count(true_scores, border)
        found = true_higher + (k - higher) * true_ties / ties
        return Retrieval(float(np.mean(true_as_high / as_high)), float(found / k), k, n)


def _count(ascending: np.ndarray, border: float) -> tuple[int, int]:
    """How many are above the border, and how many are equal to it."""
    below_or_equal = int(np.searchsorted(ascending, border, side="right"))
    return len(ascending) - below_or_equal, below_or_equal - int(np.searchsorted(ascending, border, side="left"))
