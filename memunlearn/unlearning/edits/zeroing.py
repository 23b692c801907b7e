"""Setting the chosen weights to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.masks.strategies import AllWeights, MaskStrategy
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter, passing_positions
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

    def check_weights(self, strategy: MaskStrategy, weights: Sequence[WeightTensor]) -> None:
        """Raises UserError where the scale would have no effect: a norm takes it back."""
        whole = isinstance(strategy, AllWeights) or getattr(strategy, "fraction", None) == 1
        if self.scale == 1 or not whole:
            return
        passing = passing_positions(weights, Filter(strategy.layers, strategy.components, strategy.heads))
        for weight in weights:
            if weight.name in passing and (weight.scale_free == "head" or (weight.scale_free and passing[weight.name] is None)):
                raise UserError(
                    f"protocol.scale={self.scale}: this model normalizes q and k ({weight.name} is one), so smaller ones are "
                    "the same to it: set protocol.scale=1, or leave them out (mask.components=[v,out,mlp_in,mlp_out])"
                )

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
