"""Does the text come back where the smallest weights are taken away?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from memunlearn.attacks.attempt import Attempt, attempt_with
from memunlearn.attacks.changed_weights import with_changed_weights
from memunlearn.attacks.material import Subject, Target
from memunlearn.attacks.setting_checks import check_list, is_between
from memunlearn.progress import track


@dataclass(frozen=True)
class Pruning:
    """The weights of lowest magnitude are set to 0: the same share of each attention and MLP matrix of the blocks.

    All forget rows are measured at each share; nothing is trained again. Where a share is so large that the base model, pruned
    the same way, no longer says the text either, little comes back because the model is broken, and not because it forgot.
    Magnitude pruning a matrix: Han et al. 2015, arXiv 1506.02626.

    shares: of each matrix's weights, above 0 and below 1.
    """

    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.5)
    name: ClassVar[str] = "pruning"

    def __post_init__(self) -> None:
        check_list("pruning.shares", self.shares, is_between(0, 1), "shares above 0 and below 1, such as [0.1, 0.3]")

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        attempts = []
        for share in track(self.shares, f"{self.name}, {subject.name}"):
            model = with_changed_weights(subject.model, target.weights, partial(without_smallest, share=share))
            attempts.append(attempt_with(model, target, {"share": share}))
        return attempts


def without_smallest(weight: Tensor, share: float) -> Tensor:
    """Of a weight of n elements the round(share n) with the smallest magnitude are 0; of equal ones the first."""
    flat = weight.flatten()
    smallest = flat.abs().argsort(stable=True)[: round(share * flat.numel())]
    return flat.index_fill(0, smallest, 0.0).view_as(weight)
