"""What every analysis is given: the model, the paragraphs with their scores, and who is memorized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.models.components import WeightTensor
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.results.finding import Finding
from memunlearn.scoring.alternatives import Alternatives
from memunlearn.scoring.score import ParagraphScores

OVER_CLUSTERS = "clusters of near-duplicates, resampled or permuted whole: conditional on this model and these paragraphs"
"""The unit of most intervals (`Finding.unit`)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """N paragraphs of one model, in groups.

    model: plain (no deltas), in evaluation mode, on its device. weights: its eligible weights.
    paragraphs: N rows; scores: the model's on them; clusters: [N] int64.
    bins: N labels of EM bins (`bins.em_bins`), or those that the source fixes (pile).
    memorized, non_memorized: [N] bool. By EM (C; C/5 or less) in a mixed corpus; by set where sets are given by name (forget
        and bystander; retain) or by origin; no row is in both, rows of the middle bins are in neither.
    self_generated: the continuations appear to be the model's own output, so that EM is self-EM.
    frequency: [V]: how often each token occurs in the paragraph corpus (each cluster counting once: fp64), or in the
        token-count file that was given (int64).
    seed: of everything that an analysis draws. batch_size: paragraphs a pass.
    own: computes the model's own greedy continuations of any rows (cached): ParagraphSet -> ParagraphSet.
    alternatives: computes `scoring.find_alternatives` of any rows with this many replacements (cached).
    """

    model: PreTrainedModel
    weights: Sequence[WeightTensor]
    tokenizer: Any | None
    paragraphs: ParagraphSet
    scores: ParagraphScores
    clusters: Tensor
    bins: Sequence[str]
    memorized: Tensor
    non_memorized: Tensor
    self_generated: bool
    frequency: Tensor
    seed: int
    batch_size: int
    own: Callable[[ParagraphSet], ParagraphSet]
    alternatives: Callable[[ParagraphSet, int], Alternatives]

    def rows(self, group: Tensor, at_most: int | None = None) -> Tensor:
        """Positions [n] int64 of the rows of a group [N] bool, in order; `at_most` of them (None: all), drawn with the seed."""
        positions = group.nonzero().flatten()
        if at_most is None or len(positions) <= at_most:
            return positions
        drawn = np.random.default_rng(self.seed).choice(len(positions), at_most, replace=False)
        return positions[torch.from_numpy(np.sort(drawn))]

    def in_bin(self, label: str) -> Tensor:
        """[N] bool."""
        return torch.tensor([one == label for one in self.bins], dtype=torch.bool)


class Analysis(Protocol):
    """A frozen dataclass whose fields are the options of its config (`conf/analysis/<name>.yaml`).

    Raises UserError where the material cannot be analysed (no memorized row, say): what is missing and what to do.
    version: raised whenever its numbers would come out differently; a finding of an older one is computed anew.
    """

    version: ClassVar[int]

    def __call__(self, material: Material) -> Finding: ...
