"""Task arithmetic: the change that learning the forget set would make, taken away (Ilharco et al., 2022, arXiv 2212.04089)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import lightning

from memunlearn.errors import UserError
from memunlearn.models.patches import Change, Patch
from memunlearn.objectives.by_rows import mean_kl, mean_nll
from memunlearn.objectives.material import Losses, Needs, Objective, StepMaterial
from memunlearn.unlearning.all_rows import train_all_rows
from memunlearn.unlearning.chosen_mask import chosen_mask
from memunlearn.unlearning.edits.refusals import check_scale, refuse_alternatives, refuse_stop_rule
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.optimizers import MakeOptimizer
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.reported import outcome_of
from memunlearn.unlearning.stopping import StopRule
from memunlearn.words import plural


@dataclass(frozen=True)
class LearnForgetRows:
    """loss = NLL(forget); the retain rows have no part in it, and their KL is only shown."""

    needs: Needs = Needs()

    def __call__(self, step: StepMaterial) -> Losses:
        forget_nll, retain_kl = mean_nll(step.forget), mean_kl(step.retain)
        return Losses(forget_nll, 0.0 * retain_kl, forget_nll, retain_kl)


def taken_away(change: Change, scale: float) -> Change:
    """delta = -scale * (fine-tuned - base)."""
    return replace(change, deltas={name: -scale * delta for name, delta in change.deltas.items()})


@dataclass(frozen=True)
class TaskVector:
    """protocol=task_vector: the weights of the mask are trained to recite the forget rows even better, by `steps` steps of the
    run's optimizer; the unlearned model is base - scale * (fine-tuned - base)."""

    steps: int = 20
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"protocol.steps={self.steps} must be 1 or more")
        check_scale(self.scale, 1e6)

    def check(self, *, objective: Objective, stop: StopRule | None, optimizer: MakeOptimizer) -> None:
        """Raises UserError for settings that it cannot have beside it."""
        refuse_stop_rule("task_vector", stop)
        refuse_alternatives("task_vector", objective)

    def run(self, given: Ingredients) -> Outcome:
        """Chooses the mask, trains, turns the change round, and measures every reported set; the model keeps the deltas."""
        self.check(objective=given.objective, stop=given.stop, optimizer=given.optimizer)
        mask = chosen_mask(given)

        def keep(change: Change) -> Patch:
            return given.patch_of(None, taken_away(change, self.scale))

        def make_trainer(callbacks: Sequence[lightning.Callback], steps: int | None) -> lightning.Trainer:
            return given.make_trainer(callbacks, self.steps)

        learning = replace(given, objective=LearnForgetRows(given.preparation.needs), stop=None, make_trainer=make_trainer)
        ended = train_all_rows(learning, mask, keep_change=keep)
        done = (
            f"The model was trained on the forget set for {ended.steps} {plural('step', ended.steps)}, and {self.scale:g} "
            f"times what that changed in {mask.k:,} chosen weights was taken from the base model"
        )
        return outcome_of(given, ended, mask.eligible, done=done)
