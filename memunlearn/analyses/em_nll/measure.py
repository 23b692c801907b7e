"""EM and NLL of every paragraph by EM bin, and the NLL of the prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from memunlearn.analyses.material import Material
from memunlearn.errors import UserError
from memunlearn.paragraphs.bins import em_bins
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import score


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """em, nll: [N] fp64. members: by EM bin, those that have rows, lowest first: [N] bool.

    memorized, compared: [N] bool, compared ones being memorized or non-memorized. prefix_nll: [compared] fp64, nats a token, of
    all prefix tokens but the first; [0] where there are no two, or no two groups to compare.
    """

    em: np.ndarray
    nll: np.ndarray
    members: Mapping[str, np.ndarray]
    memorized: np.ndarray
    compared: np.ndarray
    prefix_nll: np.ndarray


def measure(material: Material) -> Measured:
    """Raises UserError if there is no paragraph."""
    if not len(material.paragraphs):
        raise UserError("analysis.em_nll has no paragraph to show: give some in paragraphs.path or the sets by name")
    em, nll = (values.numpy().astype(np.float64) for values in (material.scores.em, material.scores.nll))
    members = {label: material.in_bin(label).numpy() for label in _in_order(material, em)}
    memorized = material.memorized.numpy()
    compared = memorized | material.non_memorized.numpy()
    prefix_nll = _prefix_nll(material, compared)
    return Measured(em=em, nll=nll, members=members, memorized=memorized, compared=compared, prefix_nll=prefix_nll)


def _in_order(material: Material, em: np.ndarray) -> list[str]:
    """The bins that have rows, lowest first: as they are defined, or by mean EM where the source has other ones."""
    present = sorted(set(material.bins), key=lambda label: (em[material.in_bin(label).numpy()].mean(), label))
    defined = [em_bin.label for em_bin in em_bins(material.paragraphs.continuation_length)]
    return [label for label in defined if label in present] if set(present) <= set(defined) else present


def _prefix_nll(material: Material, compared: np.ndarray) -> np.ndarray:
    ids = material.paragraphs.ids[torch.from_numpy(compared), : material.paragraphs.prefix_length]
    if ids.shape[1] < 2 or not (material.memorized.any() and material.non_memorized.any()):
        return np.empty(0)
    prefixes = ParagraphSet(ids, 1, tuple(str(row) for row in range(len(ids))))
    nll: np.ndarray = score(material.model, prefixes, material.batch_size, description="scoring prefixes").nll.double().numpy()
    return nll
