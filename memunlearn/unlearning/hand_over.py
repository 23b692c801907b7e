"""What was trained leaves the trainer before anything else can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import lightning
import torch
from torch import Tensor

from memunlearn.models.patches import Patch, capture_patch
from memunlearn.models.sparse_delta import delta_parameters
from memunlearn.paragraphs.roles import Roles
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.stopping import StopAndKeep


class HandOver(lightning.Callback):
    """Takes the patch that is to be kept after the last step, and hands it to `keep_patch` at once."""

    def __init__(
        self,
        module: Unlearning,
        keep: StopAndKeep | None,
        base_fingerprint: str | None,
        roles: Roles,
        keep_patch: Callable[[Patch], None] | None,
    ) -> None:
        self.module = module
        self.keep = keep
        self.base_fingerprint = base_fingerprint
        self.roles = roles
        self.keep_patch = keep_patch
        self.taken: tuple[int, int | None, str, Patch] | None = None

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.result(trainer.global_step)

    def result(self, steps: int) -> tuple[int, int | None, str, Patch]:
        """(steps, kept step, why it stopped, patch), as in `Training`. steps: taken by the trainer."""
        if self.taken is None:
            steps, kept_step, reason, deltas = self._kept(steps)
            now = capture_patch(self.module.model, {}, self.base_fingerprint)
            on_cpu = {
                name: torch.full_like(delta, -0.0) if deltas is None else deltas[name].detach().cpu().clone()
                for name, delta in now.deltas.items()
            }
            patch = replace(now, deltas=on_cpu, roles=self.roles)
            self.taken = steps, kept_step, reason, patch
            if self.keep_patch is not None:
                self.keep_patch(patch)
        return self.taken

    def _kept(self, steps: int) -> tuple[int, int | None, str, Mapping[str, Tensor] | None]:
        """The last: the deltas of the state to be kept, None for the base model's."""
        module, keep = self.module, self.keep
        module.check_last_step()
        if module.diverged_at is not None:
            return module.diverged_at, module.last_good_step, "nan", module.last_good or None
        if keep is None:
            return steps, None, "max_steps", delta_parameters(module.model)
        return steps, keep.best.step, keep.stopped_because, keep.best_deltas if keep.best.step else None
