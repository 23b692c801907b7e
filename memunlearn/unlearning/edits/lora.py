"""LoRA (Hu et al., 2021, arXiv 2106.09685): low-rank factors instead of chosen weights, merged into dense deltas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.errors import UserError
from memunlearn.masks.selection import Mask
from memunlearn.masks.strategies import AllWeights, MaskStrategy
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter
from memunlearn.models.low_rank_delta import low_rank, parameters_a_rank
from memunlearn.objectives.material import Objective
from memunlearn.unlearning.all_rows import train_all_rows
from memunlearn.unlearning.edits.refusals import rounded_up, whole_matrices
from memunlearn.unlearning.ingredients import Ingredients
from memunlearn.unlearning.optimizers import MakeOptimizer, takes_context
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.reported import outcome_of
from memunlearn.unlearning.stopping import StopRule


@dataclass(frozen=True)
class LoRA:
    """protocol=lora: as joint, with W + (alpha / rank) B A for every eligible matrix W that passes the mask's filter.

    rank: None for the largest with which A and B have no more numbers than the mask has weights (mask.fraction of the eligible
    ones). alpha: None for the rank, so that the product counts as it is.
    """

    rank: int | None = None
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.rank is not None and (isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1):
            raise UserError(
                f"protocol.rank={self.rank} must be a whole number, 1 or more, or null (as many as the mask's weights)"
            )
        if self.alpha is not None and (not isinstance(self.alpha, int | float) or not self.alpha > 0):
            raise UserError(f"protocol.alpha={self.alpha} must be a number above 0, or null (the rank)")

    def check(self, *, objective: Objective, stop: StopRule | None, optimizer: MakeOptimizer) -> None:
        """Raises UserError for settings that it cannot have beside it."""
        if takes_context(optimizer):
            raise UserError("protocol=lora trains factors, not weights, and needs one of PyTorch's optimizers: optimizer=adam")

    def check_weights(self, strategy: MaskStrategy, weights: Sequence[WeightTensor]) -> None:
        """Raises UserError if these weights cannot have factors, or not of this rank."""
        self._matrices(strategy, weights)

    def run(self, given: Ingredients) -> Outcome:
        """Trains the factors and measures every reported set; the model is left with their products as dense deltas."""
        self.check(objective=given.objective, stop=given.stop, optimizer=given.optimizer)
        mask, shapes, rank = self._matrices(given.strategy, given.weights)
        alpha = float(rank) if self.alpha is None else float(self.alpha)
        trained = train_all_rows(given, mask, low_rank(rank, alpha, given.mask_seed))
        count = rank * parameters_a_rank(shapes)
        done = (
            f"Factors of rank {rank} were trained for {len(shapes)} weight matrices, {count:,} numbers in all "
            f"({count / mask.k:.3g} of the matrices' weights), and their products added to the matrices"
        )
        return outcome_of(given, trained, mask.eligible, done=done, trained=count)

    def _matrices(self, strategy: MaskStrategy, weights: Sequence[WeightTensor]) -> tuple[Mask, list[tuple[int, int]], int]:
        """The matrices, their shapes, and the rank."""
        mask = whole_matrices("lora", weights, Filter(strategy.layers, strategy.components, strategy.heads))
        shapes = [weight.shape for weight in weights if weight.name in mask.indices]
        rank = _largest_rank(strategy, mask.k, shapes) if self.rank is None else self.rank
        smallest = min(min(shape) for shape in shapes)
        if rank > smallest:
            raise UserError(
                f"protocol.rank={rank} is more than the {smallest} rows or columns of the smallest matrix: lower it"
            )
        return mask, shapes, rank


def _largest_rank(strategy: MaskStrategy, eligible: int, shapes: Sequence[tuple[int, int]]) -> int:
    """With no more numbers than the mask has weights, and no more than the smallest matrix can have."""
    fraction = None if isinstance(strategy, AllWeights) else getattr(strategy, "fraction", None)
    k, a_rank = eligible if fraction is None else round(fraction * eligible), parameters_a_rank(shapes)
    if k < a_rank:
        raise UserError(
            f"mask.fraction={fraction} is {k} weights, and factors of rank 1 have {a_rank} numbers: set mask.fraction to "
            f"{rounded_up(a_rank / eligible)} or more, or protocol.rank=1"
        )
    return min(k // a_rank, *(min(shape) for shape in shapes))
