"""Everything that a protocol needs, and the masks it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from memunlearn.localization.weight_attribution import Attribution, attribute
from memunlearn.masks.selection import Mask
from memunlearn.masks.strategies import MaskStrategy
from memunlearn.models.components import WeightTensor
from memunlearn.models.patches import Patch
from memunlearn.objectives.contrastive import Objective
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.unlearning.module import MakeOptimizer
from memunlearn.unlearning.preparation import Preparation
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import MakeTrainer

KeepPatch = Callable[[int | None, Patch], None]
"""Called with a trial (None for a joint run) and its patch as soon as that is trained, before anything is measured."""


@dataclass(frozen=True)
class Ingredients:
    """What a run is made of.

    weights: the eligible ones. batch_size: forget rows a step. seed: of batches and trials; mask_seed: of what a mask draws.
    resume_from: a checkpoint, or None. keep_patch: where what is trained goes at once, if anywhere.
    """

    model: PreTrainedModel
    weights: Sequence[WeightTensor]
    preparation: Preparation
    strategy: MaskStrategy
    attribution: Attribution
    objective: Objective
    optimizer: MakeOptimizer
    stop: StopRule | None
    make_trainer: MakeTrainer
    batch_size: int
    seed: int
    mask_seed: int
    base_fingerprint: str
    resume_from: Path | None = None
    keep_patch: KeepPatch | None = None

    def mask_for(self, loss_rows: ParagraphSet, seed: int) -> Mask:
        """The mask for these loss rows; attributed on the model as it is, which must be the base model."""

        def scores():
            retain = self.preparation.baselines["retain_train"].paragraphs
            names = [weight.name for weight in self.weights]
            return attribute(self.model, names, loss_rows, retain, self.attribution, 2 * self.batch_size, seed)

        return self.strategy.select(self.weights, scores, seed)
