"""What was trained leaves the trainer before anything else can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import lightning
import torch
from torch import Tensor

from memunlearn.models.patches import Change, Patch, capture_change
from memunlearn.models.sparse_delta import delta_parameters
from memunlearn.paragraphs.roles import Roles
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.stopping import StopAndKeep

KeepChange = Callable[[Change], Patch]
"""Given what was trained; stamps it as a patch, keeps it if anywhere, and gives it back."""


@dataclass(frozen=True)
class HandedOver:
    """steps: taken. kept_step: the step whose state is kept, None for the last one. stopped_because: as in `Training`."""

    steps: int
    kept_step: int | None
    stopped_because: str
    patch: Patch


class HandOver(lightning.Callback):
    """Takes the change that is to be kept after the last step, and hands it to `keep_change` at once."""

    def __init__(self, keep: StopAndKeep | None, roles: Roles, keep_change: KeepChange) -> None:
        self.keep = keep
        self.roles = roles
        self.keep_change = keep_change
        self.taken: HandedOver | None = None

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, Unlearning)
        self.result(module, trainer.global_step)

    def result(self, module: Unlearning, steps: int) -> HandedOver:
        """steps: taken by the trainer."""
        if self.taken is None:
            steps, kept_step, reason, trained = self._kept(module, steps)
            change = capture_change(module.model, self.roles, trained)
            if trained is None:
                change = replace(change, deltas={name: torch.full_like(d, -0.0) for name, d in change.deltas.items()})
            self.taken = HandedOver(steps, kept_step, reason, self.keep_change(change))
        return self.taken

    def _kept(self, module: Unlearning, steps: int) -> tuple[int, int | None, str, Mapping[str, Tensor] | None]:
        """The last: what is trained in the state to be kept, None for the base model."""
        module.check_last_step()
        if module.diverged_at is not None:
            return module.diverged_at, module.last_good_step, "nan", module.last_good or None
        if self.keep is None:
            return steps, None, "max_steps", delta_parameters(module.model)
        keep = self.keep
        return steps, keep.best.step, keep.stopped_because, keep.best_deltas if keep.best.step else None
