"""The activation gradients of both groups, and how far those of memorized paragraphs are from their perturbed twins'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.errors import UserError
from memunlearn.localization.activation_gradients import activation_gradients, gradient_distances
from memunlearn.localization.labelled import Cell, Labelled
from memunlearn.localization.twins import twins_of


@dataclass(frozen=True, eq=False)
class Group:
    """The paragraphs of one group: gradients of n of them (`activation_gradients`), clusters [n] their labels."""

    gradients: Labelled
    clusters: np.ndarray


@dataclass(frozen=True, eq=False)
class Measured:
    """groups: by "memorized" and "non-memorized", those that have rows.

    distances: `gradient_distances` of the memorized rows that have a twin, None without memorized rows; twin_clusters: theirs.
    """

    groups: Mapping[str, Group]
    distances: Labelled | None
    twin_clusters: np.ndarray
    prefix_length: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        return next(iter(self.groups.values())).gradients.cells

    def rows(self, label: str) -> int:
        return self.groups[label].gradients.rows if label in self.groups else 0


def measure(material: Material, replacements: int, max_memorized: int | None, max_non_memorized: int | None) -> Measured:
    """Raises UserError if there are neither memorized nor non-memorized paragraphs."""
    rows = {
        "memorized": material.rows(material.memorized, max_memorized),
        "non-memorized": material.rows(material.non_memorized, max_non_memorized),
    }
    groups = {label: _group(material, label, positions) for label, positions in rows.items() if len(positions)}
    if not groups:
        raise UserError(
            "activation_gradients needs memorized or non-memorized paragraphs and there are neither: give some as "
            "paragraphs.forget or paragraphs.retain, or leave this analysis out"
        )
    memorized = rows["memorized"]
    distances, with_twin = _distances(material, memorized, replacements) if len(memorized) else (None, memorized)
    return Measured(groups, distances, material.clusters[with_twin].numpy(), material.paragraphs.prefix_length)


def _group(material: Material, label: str, positions: Tensor) -> Group:
    gradients = activation_gradients(
        material.model,
        material.weights,
        material.paragraphs.select(positions),
        material.batch_size,
        f"differentiating activations, {label}",
    )
    return Group(gradients, material.clusters[positions].numpy())


def _distances(material: Material, positions: Tensor, replacements: int) -> tuple[Labelled, Tensor]:
    """The memorized rows' distances to their twins, and which rows those are."""
    paragraphs = material.paragraphs.select(positions)
    twins = twins_of(paragraphs, material.alternatives(paragraphs, replacements), material.scores.em[positions])
    return gradient_distances(material.model, material.weights, twins, material.batch_size), positions[twins.rows]
