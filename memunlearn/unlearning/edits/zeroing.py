"""Setting the chosen weights to zero."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from memunlearn.models.sparse_delta import base_parameters
from memunlearn.objectives.material import Objective
from memunlearn.unlearning.edits.carry_out import carry_out
from memunlearn.unlearning.edits.refusals import check_scale, refuse_stop_rule
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.optimizers import MakeOptimizer
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.reported import outcome_of
from memunlearn.unlearning.stopping import StopRule


def towards_zero(base: Tensor, indices: Tensor | None, scale: float) -> Tensor:
    """delta = -scale * w of the chosen weights: base [rows, columns] -> [K], or the base's shape for indices None."""
    chosen = base.detach() if indices is None else base.detach().flatten()[indices.to(base.device)]
    return -scale * chosen


@dataclass(frozen=True)
class Zeroing:
    """protocol=zeroing: the weights of the mask go `scale` of the way to 0, all at once; nothing is trained."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale(self.scale, 1.0)

    def check(self, *, objective: Objective, stop: StopRule | None, optimizer: MakeOptimizer) -> None:
        """Raises UserError for settings that it cannot have beside it."""
        refuse_stop_rule("zeroing", stop)

    def run(self, given: Ingredients) -> Outcome:
        """Chooses the mask, changes the weights, and measures every reported set; the model is left with the deltas."""
        self.check(objective=given.objective, stop=given.stop, optimizer=given.optimizer)
        mask = given.mask_for(given.preparation.loss_rows, given.mask_seed)
        base = base_parameters(given.model)
        ended = carry_out(
            given, mask.indices, {name: towards_zero(base[name], flat, self.scale) for name, flat in mask.indices.items()}
        )
        how = "set to 0" if self.scale == 1 else f"moved {self.scale:g} of the way to 0"
        return outcome_of(given, ended, mask.eligible, done=f"{mask.k:,} chosen weights were {how}, and nothing was trained")
