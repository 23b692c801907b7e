"""Memorized against non-memorized shares of the activation gradient, and their means with intervals over clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memunlearn.analyses.activation_gradients.measure import Group, Measured
from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.localization.activation_gradients import component_cells, heads_of_components, of_components
from memunlearn.localization.labelled import Cell, Table
from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.permutation import MaxT, max_t, mean_over_clusters


@dataclass(frozen=True, eq=False)
class Family:
    """The comparison of shares in one family of cells. test: None where there are too few clusters, or one group.

    means: by group [cells], over clusters, as the test has them.
    """

    cells: tuple[Cell, ...]
    test: MaxT | None
    means: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Compared:
    """families: "components", and "heads" (MLPs among them). distances: a row a component, means over twins.

    numbers: the key numbers. prefix_share, lower_half_share: mean, low and high of the shares at prefix positions, and in the
    lower half of the layers. magnitude: over components, nats per unit of an activation.
    """

    families: Mapping[str, Family]
    distances: Table
    numbers: dict[str, Any]

    @property
    def is_tested(self) -> bool:
        return all(family.test is not None for family in self.families.values())


def compare(measured: Measured, permutations: int, seed: int) -> Compared:
    families, distances = _families(measured, permutations, seed), _distances(measured, seed)
    layers_in_lower_half = max(1, (1 + max(cell.layer for cell in measured.cells)) // 2)
    numbers = {
        "layers_in_lower_half": layers_in_lower_half,
        "groups": {
            label: _of_group(group, layers_in_lower_half, measured.prefix_length, seed)
            for label, group in measured.groups.items()
        },
        "tests": {name: _largest_excess(family) for name, family in families.items()},
        "largest_distance": _largest(distances),
        "memorized_with_twin": len(measured.twin_clusters),
    }
    return Compared(families, distances, numbers)


def component_means(group: Group) -> tuple[tuple[Cell, ...], torch.Tensor, torch.Tensor]:
    """The components; the mean magnitude of their heads, and the sum of their heads' shares: [n, components] each."""
    gradients, cells = group.gradients, group.gradients.cells
    magnitude = of_components(cells, gradients["magnitude"] / heads_of_components(cells))
    return component_cells(cells)[0], magnitude, of_components(cells, gradients["share"])


def with_interval(values: np.ndarray, clusters: np.ndarray, seed: int) -> dict[str, float | None]:
    """mean, low and high of shares or distances, which are not below 0; None for what is not there."""
    if not len(values):
        return {"mean": None, "low": None, "high": None}
    mean, interval = mean_with_interval(values, clusters, seed, limits=(0.0, np.inf))
    low, high = interval or (None, None)
    return {"mean": mean, "low": low, "high": high}


def _distances(measured: Measured, seed: int) -> Table:
    """A row a component: its mean distance; rows whose gradient is zero have none there, and do not count."""
    table: Table = {name: [] for name in ("layer", "component", "distance", "low", "high", "rows")}
    if measured.distances is None:
        return table
    for cell, values in zip(measured.distances.cells, measured.distances["distance"].numpy().T, strict=True):
        there = np.isfinite(values)
        found = with_interval(values[there], measured.twin_clusters[there], seed)
        row = (cell.layer, cell.kind, *found.values(), int(there.sum()))
        for column, value in zip(table.values(), row, strict=True):
            column.append(value)
    return table


def _largest(distances: Table) -> dict[str, Any] | None:
    there = [place for place, value in enumerate(distances["distance"]) if value is not None]
    best = max(there, key=lambda place: distances["distance"][place], default=None)
    return None if best is None else {name: column[best] for name, column in distances.items()}


def _families(measured: Measured, permutations: int, seed: int) -> dict[str, Family]:
    groups, cells = measured.groups, measured.cells
    shares = {label: group.gradients["share"] for label, group in groups.items()}
    clusters = np.concatenate([group.clusters for group in groups.values()])
    in_group = np.repeat([label == "memorized" for label in groups], [len(group.clusters) for group in groups.values()])
    families = {}
    for name, of_family in (("components", component_cells(cells)[0]), ("heads", cells)):
        values = {label: (share if name == "heads" else of_components(cells, share)).numpy() for label, share in shares.items()}
        both = np.concatenate(list(values.values()))
        test = max_t(both, in_group, clusters, permutations, seed) if len(groups) == 2 else None
        means = {label: mean_over_clusters(of_group, groups[label].clusters) for label, of_group in values.items()}
        families[name] = Family(of_family, test, means)
    return families


def _of_group(group: Group, layers_in_lower_half: int, prefix_length: int, seed: int) -> dict[str, Any]:
    gradients, clusters = group.gradients, group.clusters
    lower = torch.tensor([cell.layer < layers_in_lower_half for cell in gradients.cells])
    return {
        "rows": gradients.rows,
        "clusters": len(np.unique(clusters)),
        "magnitude": float(component_means(group)[1].mean()),
        "prefix_share": with_interval(gradients["position_share"][:, :prefix_length].sum(1).numpy(), clusters, seed),
        "lower_half_share": with_interval(gradients["share"][:, lower].sum(1).numpy(), clusters, seed),
    }


def _largest_excess(family: Family) -> dict[str, Any] | None:
    """The cell where the memorized share exceeds the other most, measured by t, and how many do with p below 0.05."""
    if family.test is None:
        return None
    t, p = np.nan_to_num(family.test.t), np.nan_to_num(family.test.p, nan=1.0)
    best = int(t.argmax())
    cell = family.cells[best]
    return {
        "layer": cell.layer,
        "component": cell.kind,
        "head": cell.head,
        "t": float(t[best]),
        "p": float(p[best]),
        "share": {label: float(means[best]) for label, means in family.means.items()},
        "cells": len(family.cells),
        "exceeding": int(((p < SIGNIFICANT) & (t > 0)).sum()),
        "below": int(((p < SIGNIFICANT) & (t < 0)).sum()),
    }
