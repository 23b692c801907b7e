"""The twins of memorized paragraphs, and what patching between the two does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memunlearn.analyses.material import Material
from memunlearn.errors import UserError
from memunlearn.localization.activation_patching import activation_patching
from memunlearn.localization.labelled import Labelled
from memunlearn.localization.twins import Twins, twins_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet


@dataclass(frozen=True, eq=False)
class Measured:
    """paragraphs: the N memorized ones; clusters [N]. effects: `activation_patching` of the n pairs."""

    paragraphs: ParagraphSet
    clusters: np.ndarray
    twins: Twins
    effects: Labelled

    @property
    def kept_effects(self) -> np.ndarray:
        """[kept, directions, positions, cells]."""
        return self.effects["effect"][self.effects["kept"]].numpy()

    @property
    def kept_clusters(self) -> np.ndarray:
        """[kept]."""
        clusters: np.ndarray = self.clusters[self.twins.rows[self.effects["kept"]].numpy()]
        return clusters


def measure(
    material: Material, replacements: int, max_memorized: int | None, per_head: bool, min_difference: float
) -> Measured:
    """Raises UserError if there is no memorized paragraph, none has a twin, or no twin raises the NLL that much."""
    rows = material.rows(material.memorized, max_memorized)
    if not len(rows):
        raise UserError(
            "activation_patching needs memorized paragraphs and there is none: give some as paragraphs.forget or "
            "paragraphs.bystander, or leave this analysis out"
        )
    paragraphs = material.paragraphs.select(rows)
    twins = twins_of(paragraphs, material.alternatives(paragraphs, replacements), material.scores.em[rows])
    if not len(twins):
        raise UserError(
            "activation_patching: whatever single prefix token is replaced, the model still says more than a fifth of "
            f"each of {len(rows)} memorized paragraphs in a row: try more with "
            f"analysis.activation_patching.replacements={replacements + 1}"
        )
    effects = activation_patching(
        material.model,
        material.weights,
        twins,
        per_head=per_head,
        min_difference=min_difference,
        batch_size=material.batch_size,
    )
    if not effects["kept"].any():
        raise UserError(
            f"activation_patching: in none of {len(twins)} paragraphs does the perturbed prefix raise the NLL of the "
            f"impact token by {min_difference} nats: lower analysis.activation_patching.min_difference"
        )
    return Measured(paragraphs, material.clusters[rows].numpy(), twins, effects)
