"""The rows that `token_perturbation` perturbed, and what came of it: what its tables and its figures are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from memunlearn.localization.token_perturbation import Perturbations
from memunlearn.paragraphs.paragraph_set import ParagraphSet

SETS = ("memorized", "non-memorized")


@dataclass(frozen=True, eq=False)
class PerturbedRows:
    """The n rows that were perturbed, memorized ones first.

    rows: [n] int64, their positions in the material. set_of: [n] "memorized" or "non-memorized". paragraphs: with the
    continuation that was scored (non-memorized: what the model says unperturbed). alternative: [n] int64, the perturbation
    (of P * R) that an alternative was found with, -1 for none; said: [n, C] int64, the alternatives.
    em_drop, nll_rise: [n, P] fp64, means over replacements; NaN where there is none. frequency: [n, P] fp64, of the tokens
    that stand there. clusters: [n].
    """

    rows: Tensor
    set_of: np.ndarray
    paragraphs: ParagraphSet
    perturbations: Perturbations
    alternative: Tensor
    said: Tensor
    em_drop: np.ndarray
    nll_rise: np.ndarray
    frequency: np.ndarray
    clusters: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """[n] bool: the rows of a set."""
        return self.set_of == name
