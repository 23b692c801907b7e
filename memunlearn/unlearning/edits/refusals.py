"""What protocols refuse of the settings beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from memunlearn.errors import UserError
from memunlearn.masks.selection import Mask, select_all
from memunlearn.models.components import WeightTensor
from memunlearn.models.filters import Filter
from memunlearn.objectives.material import Objective
from memunlearn.unlearning.stopping import StopRule


def refuse_stop_rule(protocol: str, stop: StopRule | None) -> None:
    """Raises UserError if there is one."""
    if stop is not None:
        raise UserError(f"protocol={protocol} ends by itself and takes no stop rule: add stop=none")


def refuse_alternatives(protocol: str, objective: Objective) -> None:
    """Raises UserError where the rows of the loss are not the memorized paragraphs."""
    if objective.needs.alternatives:
        raise UserError(
            f"protocol={protocol} makes a model forget and teaches it nothing instead, so objective={type(objective).__name__} "
            "has no part in it: leave the objective out"
        )


def check_scale(scale: float, largest: float) -> None:
    """Raises UserError for anything outside (0, largest]."""
    if not 0 < scale <= largest:
        raise UserError(f"protocol.scale={scale} must be above 0 and at most {largest:g}")


def rounded_up(value: float) -> str:
    """Two digits, never less than the value (> 0): what is advised must not be refused again."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / step) * step:.2g}"


def whole_matrices(protocol: str, weights: Sequence[WeightTensor], filter: Filter) -> Mask:
    """The matrices that pass. Raises UserError where only a part of one does."""
    mask = select_all(weights, filter)
    if parts := [name for name, flat in mask.indices.items() if flat is not None]:
        raise UserError(
            f"protocol={protocol} changes whole weight matrices, and mask.components and mask.heads leave only a part of "
            f"{parts[0]}: set them so that all of it passes, or to null"
        )
    return mask
