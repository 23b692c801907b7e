"""BalancedSubnet (Sakarvadia et al., 2024, arXiv 2410.02159): MLP weights that memorized text needs and other text does not are
found by training scores, and set to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import lightning
import torch

from memunlearn.errors import UserError
from memunlearn.masks.selection import Mask
from memunlearn.masks.strategies import MaskStrategy
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter
from memunlearn.models.subnet_delta import dropped_of, subnet
from memunlearn.objectives.by_rows import by_rows, mean_nll, row_nll_and_kl
from memunlearn.objectives.material import Losses, Needs, Objective, StepMaterial
from memunlearn.unlearning.all_rows import train_all_rows
from memunlearn.unlearning.edits.refusals import refuse_alternatives, refuse_stop_rule, rounded_up, whole_matrices
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.optimizers import MakeOptimizer
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.reported import outcome_of
from memunlearn.unlearning.stopping import StopRule
from memunlearn.unlearning.training import epochs_of

MLP = ("mlp_in", "mlp_out")


@dataclass(frozen=True)
class Balance:
    """loss of the kept subnetwork = clean_weight * NLL(retain) - (1 - clean_weight) * NLL(forget)."""

    clean_weight: float
    needs: Needs = Needs()

    def __call__(self, step: StepMaterial) -> Losses:
        forget_nll = mean_nll(step.forget)
        nlls, kls = by_rows(row_nll_and_kl, step.retain)
        return Losses(-(1 - self.clean_weight) * forget_nll, self.clean_weight * nlls.mean(), forget_nll, kls.mean())


@dataclass(frozen=True, kw_only=True)
class BalancedSubnet:
    """protocol=balanced_subnet: each MLP weight gets a score, and of each matrix the `share` with the lowest |score| is 0.

    Scores are trained by SGD for `epochs` (passes over the larger of the two sets), the gradient going straight through the
    choice, so that what is left of the model recites the forget rows badly and the retain rows well (`Balance`).
    mask.components, where set, names other matrices than the MLPs'; mask.layers some layers.
    """

    share: float = 0.0015
    epochs: int = 5
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0005
    clean_weight: float = 0.5
    chooses_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UserError(f"protocol.share={self.share} must be between 0 and 1: the share of each matrix that is set to 0")
        if self.epochs < 1:
            raise UserError(f"protocol.epochs={self.epochs} must be 1 or more")
        if not 0 <= self.clean_weight < 1:
            raise UserError(f"protocol.clean_weight={self.clean_weight} must be 0 or more and below 1")
        if not (self.lr > 0 and 0 <= self.momentum < 1 and self.weight_decay >= 0):
            raise UserError(
                f"protocol.lr={self.lr} must be above 0, protocol.momentum={self.momentum} from 0 to below 1, and "
                f"protocol.weight_decay={self.weight_decay} 0 or more"
            )

    def check(self, *, objective: Objective, stop: StopRule | None, optimizer: MakeOptimizer) -> None:
        """Raises UserError for settings that it cannot have beside it."""
        refuse_stop_rule("balanced_subnet", stop)
        refuse_alternatives("balanced_subnet", objective)

    def check_weights(self, strategy: MaskStrategy, weights: Sequence[WeightTensor]) -> None:
        """Raises UserError if only parts of matrices are to be changed, or the share is no weight of any."""
        self._scored(strategy, weights)

    def run(self, given: Ingredients) -> Outcome:
        """Trains the scores, sets weights to 0, and measures every reported set; the model is left with the deltas."""
        self.check(objective=given.objective, stop=given.stop, optimizer=given.optimizer)
        scored = self._scored(given.strategy, given.weights)
        epoch = epochs_of(
            given.preparation, batch_size=given.batch_size, protected_share=given.protected_share, seed=given.seed
        )

        def make_trainer(callbacks: Sequence[lightning.Callback], _: int | None) -> lightning.Trainer:
            trainer = given.make_trainer(callbacks, self.epochs * epoch.steps)
            if trainer.accumulate_grad_batches != 1:
                raise UserError("protocol=balanced_subnet takes one step a batch: set accumulate=1 (and a smaller batch_size)")
            return trainer

        scoring = replace(
            given,
            objective=Balance(self.clean_weight, given.preparation.needs),
            optimizer=partial(torch.optim.SGD, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay),
            stop=None,
            make_trainer=make_trainer,
        )
        ended = train_all_rows(scoring, scored, subnet(self.share, given.mask_seed))
        done = (
            f"{ended.patch.k:,} weights were set to 0: in each of {len(scored.indices)} matrices the {self.share:.3g} of the "
            f"weights whose scores were lowest after {ended.steps} steps"
        )
        return outcome_of(given, ended, scored.eligible, done=done)

    def _scored(self, strategy: MaskStrategy, weights: Sequence[WeightTensor]) -> Mask:
        """The matrices that lose at least one weight."""
        filter = Filter(strategy.layers, strategy.components or MLP, strategy.heads)
        mask = whole_matrices("balanced_subnet", weights, filter)
        names = [name for name, size in mask.counts.items() if dropped_of(self.share, size)]
        if not names:
            largest = max(mask.counts.values())
            raise UserError(
                f"protocol.share={self.share} of the largest matrix, {largest} weights, is not even one: give at least "
                f"{rounded_up(1 / largest)}"
            )
        return Mask(dict.fromkeys(names), {name: mask.counts[name] for name in names}, mask.eligible)
