"""What analysis=parameter_gradients compares, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memunlearn.localization.parameter_gradients import Cell, PooledGradients, shares
from memunlearn.statistics.estimates import means_with_intervals, number_or_none
from memunlearn.statistics.permutation import MaxT

LEVEL = 0.05
"""Of the tests: what is marked and named has a corrected p below it."""


@dataclass(frozen=True, eq=False)
class BinRows:
    """The paragraphs of one EM bin: its colour, clusters [n] and gradients of n rows."""

    label: str
    colour: str
    clusters: np.ndarray
    gradients: PooledGradients

    @property
    def cluster_count(self) -> int:
        return len(np.unique(self.clusters))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Memorized and non-memorized paragraphs, means over clusters.

    memorized, non_memorized: [cells] shares of the paragraph's sum over cells of `top_mean`; test: of their difference, None
    with too few clusters. lower, upper: the layers of the lower and upper third; ends: (memorized, non-memorized), each the
    shares [2] of the gradient (sum of magnitudes) that lie there; ends_test: of their difference.
    ratio: of the geometric means of the whole gradient's sum of magnitudes; ratio_test: of its logarithm.
    """

    cells: tuple[Cell, ...]
    memorized: np.ndarray
    non_memorized: np.ndarray
    test: MaxT | None
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    ends: tuple[np.ndarray, np.ndarray]
    ends_test: MaxT | None
    ratio: float
    ratio_test: MaxT | None

    @property
    def difference(self) -> np.ndarray:
        return self.memorized - self.non_memorized

    def significant(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the cells with more, and with less, in memorized paragraphs."""
        if self.test is None:
            return np.empty(0, dtype=int), np.empty(0, dtype=int)
        below = self.test.p < LEVEL
        return np.flatnonzero(below & (self.difference > 0)), np.flatnonzero(below & (self.difference < 0))


def tables(
    bins: Sequence[BinRows], comparison: Comparison | None, layer_rows: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, list[Any]]]:
    """By file name: cells and layers of each bin, and the difference of each cell where there are two groups."""
    rows = {"parameter_gradients_cells": _cell_rows(bins), "parameter_gradients_layers": layer_rows}
    if comparison is not None:
        rows["parameter_gradients_difference"] = _difference_rows(comparison)
    return {name: {column: [row[column] for row in table] for column in table[0]} for name, table in rows.items()}


def _cell_rows(bins: Sequence[BinRows]) -> list[dict[str, Any]]:
    rows = []
    for one in bins:
        g = one.gradients
        means = {
            "top_mean": g.top_mean,
            "top_mean_share": shares(g.top_mean),
            "sum": g.total,
            "sum_share": shares(g.total),
            "variance": g.variance,
        }
        columns = {name: values.mean(0).tolist() for name, values in means.items()}
        for i, cell in enumerate(g.cells):
            where = {"bin": one.label, "layer": cell.layer, "component": cell.kind, "head": cell.head, "weights": cell.size}
            rows.append(where | {"paragraphs": len(g.total)} | {name: values[i] for name, values in columns.items()})
    return rows


def rows_of_layers(bins: Sequence[BinRows], seed: int) -> list[dict[str, Any]]:
    """A row a bin and layer: means over its paragraphs with 95 % intervals over clusters (None: see `Estimates`)."""
    rows = []
    for one in bins:
        g = one.gradients
        quantities = {
            "sum": g.layer_total(),
            "sum_share": shares(g.layer_total()),
            "variance": g.layer_variance(),
            "variance_over_cells": g.layer_spread(),
        }
        estimates = {
            name: means_with_intervals(values.numpy(), one.clusters, seed, limits=(0.0, 1.0 if name == "sum_share" else np.inf))
            for name, values in quantities.items()
        }
        for i, layer in enumerate(g.layers):
            row = {"bin": one.label, "layer": layer, "paragraphs": len(g.total), "clusters": one.cluster_count}
            for name, found in estimates.items():
                row |= {
                    name: float(found.value[i]),
                    f"{name}_low": number_or_none(found.low[i]),
                    f"{name}_high": number_or_none(found.high[i]),
                }
            rows.append(row | {"sum_over_paragraphs": float(quantities["sum"][:, i].sum())})
    return rows


def _difference_rows(comparison: Comparison) -> list[dict[str, Any]]:
    test = comparison.test
    return [
        {
            "layer": cell.layer,
            "component": cell.kind,
            "head": cell.head,
            "memorized_share": float(comparison.memorized[i]),
            "non_memorized_share": float(comparison.non_memorized[i]),
            "difference": float(comparison.difference[i]),
            "t": None if test is None else float(test.t[i]),
            "p_corrected": None if test is None else float(test.p[i]),
        }
        for i, cell in enumerate(comparison.cells)
    ]
