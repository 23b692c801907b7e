"""Analysis: at which activations and tokens memorized text could be changed, compared with other text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memunlearn.analyses import activation_gradient_charts, activation_gradient_tables
from memunlearn.analyses.activation_gradient_tables import Group, Tested
from memunlearn.analyses.material import OVER_CLUSTERS, Material
from memunlearn.errors import UserError
from memunlearn.localization.activation_gradients import GradientDistances, activation_gradients, gradient_distances
from memunlearn.localization.twins import twins_of
from memunlearn.results.finding import Finding
from memunlearn.statistics.intervals import FEWEST_CLUSTERS
from memunlearn.statistics.permutation import UNEQUAL_SPREADS

PERMUTATIONS_AT_LEAST = 20


@dataclass(frozen=True)
class ActivationGradients:
    """|d NLL / d activation| per layer, component, head and token position (paper, section 4; finding 4).

    Raw, and as shares of a paragraph's total: memorized text has small losses, and so small gradients everywhere.
    replacements: tokens tried at each prefix position to find a memorized paragraph's perturbed twin. max_memorized,
    max_non_memorized: rows at most (None: all), drawn with the seed. permutations: of clusters, for the p-values.
    """

    version: ClassVar[int] = 3
    replacements: int = 1
    max_memorized: int | None = None
    max_non_memorized: int | None = None
    permutations: int = 2000

    def __post_init__(self) -> None:
        if self.permutations < PERMUTATIONS_AT_LEAST:
            raise UserError(
                f"analysis.activation_gradients.permutations={self.permutations}: set at least {PERMUTATIONS_AT_LEAST}, or no "
                "p-value can be below 0.05"
            )
        for option in ("replacements", "max_memorized", "max_non_memorized"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UserError(f"analysis.activation_gradients.{option}={value} must be 1 or more")

    def __call__(self, material: Material) -> Finding:
        chosen = {
            "memorized": material.rows(material.memorized, self.max_memorized),
            "non-memorized": material.rows(material.non_memorized, self.max_non_memorized),
        }
        rows = {label: positions for label, positions in chosen.items() if len(positions)}
        if not rows:
            raise UserError(
                "activation_gradients needs memorized or non-memorized paragraphs and there are neither: give some as "
                "paragraphs.forget or paragraphs.retain, or leave this analysis out"
            )
        groups = {label: self._group(material, label, positions) for label, positions in rows.items()}
        distances, with_twin = self._distances(material, rows.get("memorized"))
        tested = activation_gradient_tables.tests(groups, self.permutations, material.seed)
        positions = activation_gradient_tables.positions(groups, material.seed)
        twins = activation_gradient_tables.twin_table(distances, material.clusters[with_twin].numpy(), material.seed)
        prefix_length = material.paragraphs.prefix_length
        numbers = activation_gradient_tables.numbers(groups, tested, twins, prefix_length, material.seed)
        numbers["memorized_with_twin"] = len(with_twin)
        return Finding(
            name="activation_gradients",
            title="Activation gradients",
            sentences=activation_gradient_charts.sentences(numbers),
            unit=OVER_CLUSTERS,
            numbers=numbers,
            tables={
                "activation_gradients": activation_gradient_tables.cell_table(groups, material.seed),
                "activation_gradients_comparison": activation_gradient_tables.comparison_table(tested),
                "activation_gradients_positions": positions,
                "activation_gradients_by_position": activation_gradient_tables.position_table(groups),
                "activation_gradients_twins": twins,
            },
            charts=activation_gradient_charts.all_charts(groups, tested, positions, twins, prefix_length, numbers),
            notes=_notes(chosen, len(with_twin), tested),
        )

    def _group(self, material: Material, label: str, positions: Tensor) -> Group:
        gradients = activation_gradients(
            material.model,
            material.weights,
            material.paragraphs.select(positions),
            material.batch_size,
            f"differentiating activations, {label}",
        )
        return Group(gradients, material.clusters[positions].numpy())

    def _distances(self, material: Material, positions: Tensor | None) -> tuple[GradientDistances, Tensor]:
        """The memorized rows' distances to their twins, and which rows those are."""
        if positions is None:
            none = torch.empty(0, dtype=torch.int64)
            return GradientDistances((), torch.empty(0, 0, dtype=torch.float64)), none
        paragraphs = material.paragraphs.select(positions)
        twins = twins_of(paragraphs, material.alternatives(paragraphs, self.replacements), material.scores.em[positions])
        return gradient_distances(material.model, material.weights, twins, material.batch_size), positions[twins.rows]


def _notes(chosen: dict[str, Tensor], with_twin: int, tested: dict[str, Tested]) -> tuple[str, ...]:
    notes = [
        "Gradients are pooled as the mean of absolute values over a cell's features and positions; a share is of the "
        "paragraph's total over all layers, components and positions. A component's share is the sum of its heads'.",
        "Tests give each cluster one vote (the mean of its rows); means in tables and heat maps are over rows.",
    ]
    notes += [f"There are no {label} paragraphs: nothing is compared." for label, rows in chosen.items() if not len(rows)]
    if all(len(rows) for rows in chosen.values()) and any(family.result is None for family in tested.values()):
        notes.append(f"A group with fewer than {FEWEST_CLUSTERS} clusters cannot be tested: there are no p-values.")
    elif all(family.result is not None for family in tested.values()):
        notes.append(UNEQUAL_SPREADS)
    n = len(chosen["memorized"])
    if with_twin < n:
        notes.append(
            f"{n - with_twin} of {n} memorized paragraphs have no perturbed twin: whatever prefix token is replaced, the model "
            "still says more than a fifth of the continuation in a row."
        )
    return tuple(notes)
