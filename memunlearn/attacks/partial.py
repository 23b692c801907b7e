"""How much of the patch is needed: the models on the way from the base to the unlearned one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

from memunlearn.attacks.attempt import Attempt, attempt_with
from memunlearn.attacks.material import Subject, Target
from memunlearn.errors import UserError
from memunlearn.models.patches import apply_patch
from memunlearn.models.sparse_delta import write_deltas
from memunlearn.progress import track

WHY_NOT = "part of the patch is missing, and the base model has the text"


@dataclass(frozen=True)
class PartialPatch:
    """The patch applied in part: base + s x patch, s in even steps from 0 (the base model) to 1 (the unlearned model).

    All forget rows are measured at each s. Whoever holds both models can make any of these, and has the text anyway; what the
    curve shows is how much of the patch forgetting needs, and whether it sets in at once. So only s = 1 counts as an attempt.
    Of the unlearned model only, and only with its base model and patch.

    points: how many values of s, both ends among them.
    """

    points: int = 11
    name: ClassVar[str] = "partial"

    def __post_init__(self) -> None:
        if self.points < 2:
            raise UserError(f"attacks.partial.points={self.points} must be 2 or more: s = 0 and s = 1 are among them")

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        if subject.name != "unlearned" or target.base is None or target.patch is None:
            return []
        model = copy.deepcopy(target.base)
        apply_patch(model, target.patch)
        attempts = []
        for share in track([step / (self.points - 1) for step in range(self.points)], f"{self.name}, {subject.name}"):
            write_deltas(model, {name: share * delta for name, delta in target.patch.deltas.items()})
            whole = share == 1
            attempts.append(attempt_with(model, target, {"share": share}, counts=whole, note="" if whole else WHY_NOT))
        return attempts
