"""Is the text gone all along the way from the base model to the unlearned one?"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from memunlearn.attacks.attempt import Attempt, attempt_with
from memunlearn.attacks.material import Subject, Target
from memunlearn.models.sparse_delta import base_parameters
from memunlearn.progress import track


@dataclass(frozen=True)
class PartialPatch:
    """The patch applied in part: base + s x patch, s from 0 (the base model) to 1 (the unlearned model) in even steps.

    Every forget row is measured at each s. Whoever holds both models can take any point between them, so what comes back
    below 1 is known to them anyway; the curve shows how much of the patch is needed, and whether forgetting is gradual. Only
    attempts with s = 1 count, since the others start from the base model, which has the text. Needs the base model and the
    patch; for the unlearned model only.

    points: how many values of s, both ends among them.
    """

    points: int = 11

    @property
    def name(self) -> str:
        return "partial"

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        if subject.name != "unlearned" or target.base is None or target.patch is None:
            return []
        model = copy.deepcopy(target.base)
        weights, start = base_parameters(model), base_parameters(target.base)
        shares = [step / (self.points - 1) for step in range(self.points)]
        attempts = []
        for share in track(shares, f"{self.name}: {subject.name}"):
            with torch.no_grad():
                for name, delta in target.patch.deltas.items():
                    flat, change = target.patch.indices[name], share * delta.to(weights[name].device)
                    if flat is None:
                        weights[name].copy_(start[name] + change)
                    else:
                        weights[name].copy_(
                            start[name].flatten().index_add(0, flat.to(change.device), change).view_as(start[name])
                        )
            whole = share == 1
            note = "" if whole else "starts from the base model, which has the text"
            attempts.append(attempt_with(model, target, {"share": share}, counts=whole, note=note))
        return attempts
