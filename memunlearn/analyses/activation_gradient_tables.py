"""The tables and key numbers of activation gradients: groups compared, means with intervals over clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memunlearn.localization.activation_gradients import ActivationGradients, GradientDistances, component_cells
from memunlearn.localization.activations import Cell
from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.permutation import MaxT, max_t, mean_over_clusters

Columns = dict[str, list[Any]]
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Group:
    """The paragraphs of one group: gradients of n of them, clusters [n] their labels."""

    gradients: ActivationGradients
    clusters: np.ndarray


Groups = Mapping[str, Group]
"""By "memorized" and "non-memorized"; one without rows is not there."""


@dataclass(frozen=True, eq=False)
class Tested:
    """The comparison of shares in one family of cells. result: None where there are too few clusters, or one group."""

    cells: tuple[Cell, ...]
    result: MaxT | None


def of_components(cells: tuple[Cell, ...], heads: Tensor) -> Tensor:
    """Sums over the heads of each component: [..., cells] -> [..., components]."""
    whole, component = component_cells(cells)
    return heads.new_zeros(*heads.shape[:-1], len(whole)).index_add_(-1, component, heads)


def tests(groups: Groups, permutations: int, seed: int) -> dict[str, Tested]:
    """Memorized against non-memorized shares: over all components, and over all heads (MLPs among them)."""
    cells = next(iter(groups.values())).gradients.cells
    shares = torch.cat([group.gradients.share for group in groups.values()])
    families = {"components": (component_cells(cells)[0], of_components(cells, shares)), "heads": (cells, shares)}
    clusters = np.concatenate([group.clusters for group in groups.values()])
    in_group = np.concatenate([np.full(len(group.clusters), label == "memorized") for label, group in groups.items()])
    return {
        name: Tested(family, max_t(values.numpy(), in_group, clusters, permutations, seed) if len(groups) == 2 else None)
        for name, (family, values) in families.items()
    }


def _heads(cells: tuple[Cell, ...]) -> Tensor:
    """[cells] int64: how many heads the cell's component has (1 for MLPs)."""
    component = component_cells(cells)[1]
    return torch.bincount(component)[component]


def _interval(values: np.ndarray, clusters: np.ndarray, seed: int) -> tuple[float | None, float | None, float | None]:
    """(mean, low, high) of shares or distances, which are not below 0; nothing where there are no rows."""
    if not len(values):
        return None, None, None
    mean, interval = mean_with_interval(values, clusters, seed, limits=(0.0, np.inf))
    return (mean, None, None) if interval is None else (mean, *interval)


def _named(values: np.ndarray, clusters: np.ndarray, seed: int) -> dict[str, float | None]:
    return dict(zip(("mean", "low", "high"), _interval(values, clusters, seed), strict=True))


def cell_table(groups: Groups, seed: int) -> Columns:
    """One row a group and cell; components (head None) have an interval."""
    table: Columns = {name: [] for name in ("set", "layer", "component", "head", "magnitude", "share", "low", "high")}
    for label, group in groups.items():
        found = group.gradients
        whole, _ = component_cells(found.cells)
        magnitude = of_components(found.cells, found.magnitude / _heads(found.cells))
        share = of_components(found.cells, found.share)
        for i, cell in enumerate(whole):
            interval = _interval(share[:, i].numpy(), group.clusters, seed)
            _append(table, label, cell.layer, cell.kind, None, float(magnitude[:, i].mean()), *interval)
        for i, cell in enumerate(found.cells):
            if cell.head is not None:
                means = float(found.magnitude[:, i].mean()), float(found.share[:, i].mean())
                _append(table, label, cell.layer, cell.kind, cell.head, *means, None, None)
    return table


def comparison_table(tested_families: Mapping[str, Tested]) -> Columns:
    """One row a cell of either family: difference of the clusters' mean shares, t, and p corrected over the family."""
    table: Columns = {name: [] for name in ("family", "layer", "component", "head", "difference", "t", "p")}
    for family, tested in tested_families.items():
        if tested.result is None:
            continue
        result = tested.result
        for i, cell in enumerate(tested.cells):
            values = (float(x[i]) for x in (result.difference, result.t, result.p))
            _append(table, family, cell.layer, cell.kind, cell.head, *(v if np.isfinite(v) else None for v in values))
    return table


def positions(groups: Groups, seed: int) -> Columns:
    """One row a group and position: its share of a paragraph's total."""
    table: Columns = {name: [] for name in ("set", "position", "share", "low", "high")}
    for label, group in groups.items():
        for position, share in enumerate(group.gradients.position_share.T):
            _append(table, label, position, *_interval(share.numpy(), group.clusters, seed))
    return table


def position_table(groups: Groups) -> Columns:
    """One row a group, cell (head) and position: means over the group's rows."""
    table: Columns = {name: [] for name in ("set", "layer", "component", "head", "position", "magnitude", "share")}
    for label, group in groups.items():
        found = group.gradients
        for i, cell in enumerate(found.cells):
            for position, values in enumerate(
                zip(found.by_position[i].tolist(), found.share_by_position[i].tolist(), strict=True)
            ):
                _append(table, label, cell.layer, cell.kind, cell.head, position, *values)
    return table


def twin_table(distances: GradientDistances, clusters: np.ndarray, seed: int) -> Columns:
    """One row a component; rows whose gradient is zero have no distance there, and do not count."""
    table: Columns = {name: [] for name in ("layer", "component", "distance", "low", "high", "rows")}
    for i, cell in enumerate(distances.cells):
        values = distances.distance[:, i].numpy()
        there = np.isfinite(values)
        _append(table, cell.layer, cell.kind, *_interval(values[there], clusters[there], seed), int(there.sum()))
    return table


def _append(table: Columns, *values: Any) -> None:
    for column, value in zip(table.values(), values, strict=True):
        column.append(value)


def numbers(
    groups: Groups, tested_families: Mapping[str, Tested], twins: Columns, prefix_length: int, seed: int
) -> dict[str, Any]:
    """The key numbers.

    prefix_share, lower_half_share: mean, low and high of the shares at prefix positions, and in the lower half of the layers.
    magnitude: over components, nats per unit of an activation.
    """
    layers = 1 + max(cell.layer for cell in next(iter(groups.values())).gradients.cells)
    layers_in_lower_half = max(1, layers // 2)
    result: dict[str, Any] = {"layers_in_lower_half": layers_in_lower_half, "groups": {}, "tests": {}}
    for label, group in groups.items():
        found, clusters = group.gradients, group.clusters
        lower = torch.tensor([cell.layer < layers_in_lower_half for cell in found.cells])
        result["groups"][label] = {
            "rows": len(found.share),
            "clusters": len(np.unique(clusters)),
            "magnitude": float(of_components(found.cells, found.magnitude / _heads(found.cells)).mean()),
            "prefix_share": _named(found.position_share[:, :prefix_length].sum(1).numpy(), clusters, seed),
            "lower_half_share": _named(found.share[:, lower].sum(1).numpy(), clusters, seed),
        }
    for family, tested in tested_families.items():
        result["tests"][family] = None if tested.result is None else _largest_excess(tested, groups)
    there = [i for i, value in enumerate(twins["distance"]) if value is not None]
    best = max(there, key=lambda i: twins["distance"][i], default=None)
    result["largest_distance"] = None if best is None else {name: column[best] for name, column in twins.items()}
    return result


def _largest_excess(tested: Tested, groups: Groups) -> dict[str, Any]:
    """The cell where the memorized share exceeds the other most, measured by t, and how many do with p below 0.05.

    Its shares are means over clusters, as the test has them.
    """
    assert tested.result is not None
    t, p = np.nan_to_num(tested.result.t), np.nan_to_num(tested.result.p, nan=1.0)
    best = int(t.argmax())
    cell = tested.cells[best]
    shares = {}
    for label, group in groups.items():
        found = group.gradients
        whole = found.share if tested.cells == found.cells else of_components(found.cells, found.share)
        shares[label] = float(mean_over_clusters(whole.numpy(), group.clusters)[best])
    return {
        "layer": cell.layer,
        "component": cell.kind,
        "head": cell.head,
        "t": float(t[best]),
        "p": float(p[best]),
        "share": shares,
        "cells": len(tested.cells),
        "exceeding": int(((p < SIGNIFICANT) & (t > 0)).sum()),
        "below": int(((p < SIGNIFICANT) & (t < 0)).sum()),
    }
