"""The LightningModule: a model with deltas, its objective, and the base model's states to compare with."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import Optimizer

from memunlearn.errors import UserError
from memunlearn.models.sparse_delta import delta_parameters
from memunlearn.objectives.material import Stateful
from memunlearn.paragraphs.batches import Batch
from memunlearn.unlearning.optimizers import Deltas, MakeOptimizer, RunContext, make_optimizer
from memunlearn.unlearning.rehearsal import ComesBack, Rehearsal
from memunlearn.unlearning.step_rows import StepRows
from memunlearn.unlearning.unread import UnreadLosses, is_look

SHARE_FOR_STATES = 0.1
"""Of a GPU's free memory at the start: the base model's states lie there if they fit, and else are read from the CPU's memory
while the GPU is at work."""


class Unlearning(lightning.LightningModule):
    """Trains the deltas that are attached to the context's model, and nothing else.

    Losses are read back every few steps only (`look`). `diverged_at` then says after how many steps the first loss was that is
    not finite, and `last_good` holds the deltas (after `last_good_step` steps) of the last finite loss that was looked at.
    """

    # Checkpoints hold deltas and their indices, not the base model.
    strict_loading = False

    def __init__(
        self, context: RunContext, optimizer: MakeOptimizer, rows: StepRows, rehearsal: Rehearsal | None = None
    ) -> None:
        super().__init__()
        self.context = context
        self.model = context.model
        self.make_optimizer = optimizer
        self.rows = rows
        self.rehearsal = rehearsal
        self.deltas: Deltas = {}
        self.losses = UnreadLosses()
        objective = context.objective
        self.first_state = copy.deepcopy(objective.state_dict()) if isinstance(objective, Stateful) else None
        self.start(0)

    def start(self, step: int) -> None:
        """Nothing is trained yet; step: steps that the trainer has taken for something else."""
        self.started_at = step
        self.last_good: dict[str, Tensor] = {}
        self.last_good_step = step
        self.diverged_at: int | None = None
        if self.first_state is not None and isinstance(self.context.objective, Stateful):
            self.context.objective.load_state_dict(copy.deepcopy(self.first_state))

    def on_train_start(self) -> None:
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            self.rows = self.rows.near(self.device, SHARE_FOR_STATES * free)
        # Resumed from a checkpoint that was written after losses had diverged: there is nothing left to train.
        if self.diverged_at is not None:
            self.trainer.should_stop = True

    def training_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        # Before anything is computed that is differentiated later: it moves the deltas.
        there = None if self.rehearsal is None else self._comes_back(self.rehearsal, batch, batch_index)
        losses = self.context.objective(self.rows.material(self.model, batch, self.deltas))
        if not losses.forget_term.requires_grad:
            raise UserError(
                f"objective {type(self.context.objective).__name__} does not depend on any weight of the mask: choose weights "
                "in or before the layer that it looks at (mask.layers=[...]), or a later objective.layer"
            )
        # Lightning divides by the full number of batches a step, also in an epoch's last step, which may have fewer, and by the
        # number of processes.
        forget_share, retain_share = self.trainer.accumulate_grad_batches * self.trainer.world_size * batch["weights"]
        if self.rehearsal is not None:
            losses = replace(losses, forget_term=self.rehearsal.mixed(losses.forget_term, there, self.deltas))
        loss: Tensor = forget_share * losses.forget_term + retain_share * losses.retain_term
        self.losses.add(self.global_step, self.current_epoch, loss, losses, batch["weights"])
        if is_look(self.global_step - self.started_at):
            self.look()
            if self.diverged_at is not None:
                return None
            self.last_good = {name: delta.detach().clone() for name, delta in self.deltas.items()}
            self.last_good_step = self.global_step
            self.losses.log(self.trainer, before=self.global_step)
        return loss

    def _comes_back(self, rehearsal: Rehearsal, batch: Batch, batch_index: int) -> ComesBack | None:
        preparation, accumulated = self.context.preparation, self.trainer.accumulate_grad_batches
        return rehearsal.comes_back(
            model=self.model,
            objective=self.context.objective,
            rows=self.rows,
            batch=batch,
            deltas=self.deltas,
            clusters=preparation.baselines["forget"].clusters[preparation.loss_positions],
            # Of the step and the batch, so that a run that is resumed draws the same halves.
            seed=self.context.seed * 1_000_003 + self.global_step * accumulated + batch_index % accumulated,
        )

    def look(self) -> None:
        """Reads the losses since the last look; where one is not finite, training ends."""
        diverged_at = self.losses.look(self.trainer)
        if self.diverged_at is None and diverged_at is not None:
            self.diverged_at = diverged_at
            self.trainer.should_stop = True

    def log_curve(self, before: int) -> None:
        """The training curve up to there reaches every logger. before: as many steps, of those taken."""
        self.look()
        self.losses.log(self.trainer, before)

    def check_last_step(self) -> None:
        """Deltas that the last step itself made infinite or NaN have diverged too, though no loss was computed from them."""
        self.look()
        finite = all(bool(delta.isfinite().all()) for delta in self.deltas.values())
        if self.diverged_at is None and not finite:
            self.diverged_at = self.global_step

    def on_train_end(self) -> None:
        steps = self.global_step
        self.losses.log(self.trainer, before=steps, always=[steps - 1] if self.trainer.should_stop else [])

    def configure_optimizers(self) -> Optimizer:
        self.deltas = delta_parameters(self.model)
        return make_optimizer(self.make_optimizer, self.deltas, self.context)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.look()
        kept = {key: value for key, value in checkpoint["state_dict"].items() if ".parametrizations." in key}
        checkpoint["state_dict"] = {key: value for key, value in kept.items() if not key.endswith(".original")}
        checkpoint["last_good"] = {"deltas": self.last_good, "step": self.last_good_step, "diverged_at": self.diverged_at}
        if isinstance(self.context.objective, Stateful):
            checkpoint["objective"] = self.context.objective.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        last_good = checkpoint["last_good"]
        self.last_good, self.last_good_step = last_good["deltas"], last_good["step"]
        self.diverged_at = last_good.get("diverged_at")  # checkpoints of earlier versions have none
        if isinstance(self.context.objective, Stateful):
            self.context.objective.load_state_dict(checkpoint["objective"])
