"""Everything that a protocol needs, and the masks it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from memunlearn.curvature.measure import MeasureCurvature, measure_curvature
from memunlearn.localization.weight_attribution import Attribution, Scores, attribute
from memunlearn.masks.selection import Mask
from memunlearn.masks.strategies import MaskStrategy
from memunlearn.models.components import WeightTensor
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.patches import Change, Patch
from memunlearn.objectives.material import Objective
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.unlearning.optimizers import MakeOptimizer
from memunlearn.unlearning.preparation import Preparation
from memunlearn.unlearning.rehearsal import Rehearsal
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import MakeTrainer

KeepTrial = Callable[[int | None, Change], Patch]
"""Called with a trial (None for a joint run) and its change as soon as that is trained, before anything is measured; gives back
the patch that it has made of it."""


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What a run is made of.

    weights: the eligible ones. batch_size: forget rows a step. seed: of batches and trials; mask_seed: of what a mask draws.
    protected_share: of the rows to keep of a batch, where there are protected ones. resume_from: a checkpoint, or None. keep:
    where what is trained goes at once, None for nowhere. measure_curvature: for an optimizer that asks for it. rehearsal: of
    every step, None for none.
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
    protected_share: float = 0.5
    resume_from: Path | None = None
    keep: KeepTrial | None = None
    measure_curvature: MeasureCurvature = measure_curvature
    rehearsal: Rehearsal | None = None

    def patch_of(self, trial: int | None, change: Change) -> Patch:
        """What was trained, kept where it is to be. The model: with any deltas, or none."""
        return change.stamped(fingerprint(self.model), {}) if self.keep is None else self.keep(trial, change)

    def mask_for(self, loss_rows: ParagraphSet, seed: int) -> Mask:
        """The mask for these loss rows; attributed on the model as it is, which must be the base model."""

        def scores() -> Scores:
            retain = self.preparation.baselines["retain_train"].paragraphs
            names = [weight.name for weight in self.weights]
            return attribute(
                self.model,
                names,
                loss_rows,
                retain,
                method=self.attribution,
                batch_size=2 * self.batch_size,
                seed=seed,
                weights=self.weights,
            )

        return self.strategy.select(self.weights, scores, seed)
