"""Memorized against non-memorized paragraphs: where the gradient lies, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.parameter_gradients.measure import Measured
from memunlearn.localization.labelled import Cell
from memunlearn.localization.parameter_gradients import layer_total, shares
from memunlearn.statistics.permutation import MaxT, max_t, mean_over_clusters

Sides = Sequence[np.ndarray]
"""Of memorized, and of non-memorized paragraphs."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Compared:
    """Memorized and non-memorized paragraphs, means over clusters.

    memorized, non_memorized: [cells] shares of the paragraph's sum over cells of `top_mean`; test: of their difference, None
    with too few clusters. lower, upper: the layers of the lower and upper third; ends: each the shares [2] of the gradient (sum
    of magnitudes) that lie there; ends_test: of their difference, None with one layer.
    ratio: of the geometric means of the whole gradient's sum of magnitudes; ratio_test: of its logarithm.
    """

    cells: Sequence[Cell]
    memorized: np.ndarray
    non_memorized: np.ndarray
    test: MaxT | None
    lower: Sequence[int]
    upper: Sequence[int]
    ends: Sides
    ends_test: MaxT | None
    ratio: float
    ratio_test: MaxT | None

    @property
    def difference(self) -> np.ndarray:
        difference: np.ndarray = self.memorized - self.non_memorized
        return difference

    @property
    def more(self) -> np.ndarray:
        """Positions of the cells with more in memorized paragraphs than chance."""
        return self._significant(self.difference > 0)

    @property
    def less(self) -> np.ndarray:
        return self._significant(self.difference < 0)

    def _significant(self, of_sign: np.ndarray) -> np.ndarray:
        return np.empty(0, dtype=int) if self.test is None else np.flatnonzero((self.test.p < SIGNIFICANT) & of_sign)


def compare(measured: Measured, permutations: int, seed: int) -> Compared | None:
    """None where one of the two groups is empty."""
    groups = (measured.memorized, measured.non_memorized)
    if not all(group.rows for group in groups):
        return None
    in_group = np.repeat([True, False], [group.rows for group in groups])
    clusters = np.concatenate([group.clusters for group in groups])

    def sides(values: Sides) -> Sides:
        return [mean_over_clusters(side, group.clusters) for side, group in zip(values, groups, strict=True)]

    def test(values: Sides) -> MaxT | None:
        return max_t(np.concatenate(values), in_group, clusters, permutations, seed)

    gradients = [group.gradients for group in groups]
    of_cells = [shares(one["top_mean"]).numpy() for one in gradients]
    of_layers = [shares(layer_total(one)).numpy() for one in gradients]
    third = max(1, round(len(measured.layers) / 3))
    ends = [np.stack([of[:, :third].sum(1), of[:, -third:].sum(1)], 1) for of in of_layers]
    sizes = [one["total"].sum(1, keepdim=True).log().numpy() for one in gradients]
    memorized, non_memorized = sides(of_cells)
    return Compared(
        cells=measured.cells,
        memorized=memorized,
        non_memorized=non_memorized,
        test=test(of_cells),
        lower=measured.layers[:third],
        upper=measured.layers[-third:],
        ends=sides(ends),
        ends_test=test(ends) if len(measured.layers) > 1 else None,
        ratio=float(np.exp(np.subtract(*sides(sizes))[0])),
        ratio_test=test(sizes),
    )
