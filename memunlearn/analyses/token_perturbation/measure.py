"""The rows that are perturbed, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.material import Material
from memunlearn.errors import UserError
from memunlearn.localization.labelled import Labelled
from memunlearn.localization.token_perturbation import decode_alternatives, em_drop, nll_rise, perturb_tokens, worst
from memunlearn.models.text_ids import no_text
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate

SETS = ("memorized", "non-memorized")


@dataclass(frozen=True, eq=False, kw_only=True)
class PerturbedRows:
    """The n rows that were perturbed, memorized ones first.

    rows: [n] int64, their positions in the material. set_of: [n] "memorized" or "non-memorized". paragraphs: with the
    continuation that was scored (non-memorized: what the model says unperturbed). perturbations: as of `perturb_tokens`.
    alternative: [n] int64, the perturbation (of P * R) that an alternative was found with, -1 for none; said: [n, C] int64, the
    alternatives. em_drop, nll_rise: [n, P] fp64, means over replacements; NaN where there is none. frequency: [n, P] fp64, of
    the tokens that stand there. clusters: [n]. within: by set, positions among the n of those compared within positions.
    """

    rows: Tensor
    set_of: np.ndarray
    paragraphs: ParagraphSet
    perturbations: Labelled
    alternative: Tensor
    said: Tensor
    em_drop: np.ndarray
    nll_rise: np.ndarray
    frequency: np.ndarray
    clusters: np.ndarray
    within: Mapping[str, np.ndarray]

    def of(self, name: str) -> np.ndarray:
        """[n] bool: the rows of a set."""
        rows: np.ndarray = self.set_of == name
        return rows

    @property
    def present(self) -> list[str]:
        """The sets that have rows."""
        return [name for name in SETS if self.of(name).any()]

    @property
    def per_row(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean drop in EM and mean rise in NLL: [n] each."""
        return np.nanmean(self.em_drop, 1), np.nanmean(self.nll_rise, 1)

    def worst(self) -> tuple[np.ndarray, np.ndarray]:
        """The largest drop of each row, and its position (NaN where no replacement made EM drop): [n] each."""
        position, replacement = worst(self.perturbations)
        drop = em_drop(self.perturbations)[torch.arange(len(position)), position, replacement].double()
        return drop.numpy(), torch.where(drop > 0, position.double(), torch.nan).numpy()


def measure(
    material: Material,
    *,
    replacements: int,
    second_likely: bool,
    max_memorized: int | None,
    max_non_memorized: int | None,
    within_rows: int,
) -> PerturbedRows:
    """Raises UserError if there is no row, or nothing to replace a token by."""
    groups = (material.rows(material.memorized, max_memorized), material.rows(material.non_memorized, max_non_memorized))
    chosen = torch.cat(groups)
    if not len(chosen):
        raise UserError(
            "analysis.token_perturbation has no memorized and no non-memorized row: give paragraphs with some, or raise "
            "analysis.token_perturbation.max_memorized or max_non_memorized"
        )
    if material.paragraphs.prefix_length == 1 and not replacements:
        raise UserError(
            "a prefix of one token has no second-likely replacement: set analysis.token_perturbation.replacements to 1 or more"
        )
    parts = [material.paragraphs.select(groups[0])]
    if len(groups[1]):
        parts.append(material.own(material.paragraphs.select(groups[1])))
    paragraphs = concatenate(parts)
    found = perturb_tokens(
        material.model,
        paragraphs,
        replacements,
        second_likely=second_likely,
        seed=material.seed,
        batch_size=material.batch_size,
        never=no_text(material.model, material.tokenizer),
    )
    alternative, said = decode_alternatives(material.model, paragraphs, found, material.batch_size)
    set_of = np.repeat(SETS, [len(group) for group in groups])
    return PerturbedRows(
        rows=chosen,
        set_of=set_of,
        paragraphs=paragraphs,
        perturbations=found,
        alternative=alternative,
        said=said,
        em_drop=em_drop(found).double().nanmean(2).numpy(),
        nll_rise=nll_rise(found).double().nanmean(2).numpy(),
        frequency=material.frequency[paragraphs.prefixes].double().numpy(),
        clusters=material.clusters[chosen].numpy(),
        within={name: material.rows(torch.from_numpy(np.equal(set_of, name)), within_rows).numpy() for name in SETS},
    )
