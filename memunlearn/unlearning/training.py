"""Training the deltas of one mask, with a stop rule: what both the command and a notebook call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import RichProgressBar
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.masks.selection import Mask
from memunlearn.models.patches import Patch
from memunlearn.models.sparse_delta import attach, write_deltas
from memunlearn.objectives.contrastive import Objective, Unlearn
from memunlearn.one_process import alone
from memunlearn.paragraphs.batches import PairedEpochs
from memunlearn.paragraphs.data_module import UnlearningData
from memunlearn.unlearning.checkpoints import Restored, not_readable
from memunlearn.unlearning.checks import Check, CheckedScores
from memunlearn.unlearning.hand_over import HandOver
from memunlearn.unlearning.module import MakeOptimizer, Unlearning
from memunlearn.unlearning.precision import measured_in
from memunlearn.unlearning.preparation import Preparation
from memunlearn.unlearning.stopping import StopAndKeep, StopRule

MakeTrainer = Callable[[Sequence[lightning.Callback], int | None], lightning.Trainer]
"""Given a protocol's callbacks and its number of steps (None: the trainer's own), makes the trainer."""

DEFAULT_STOP = StopRule()


@dataclass(frozen=True)
class Training:
    """What training ended with; the model carries the kept deltas.

    steps: optimizer steps taken. kept_step: the step whose state was kept, None for the last one.
    stopped_because: "forget_em", "max_kl", "bystander_em", "max_steps" or "nan". patch: the kept change.
    kept_check: scores of the kept state on the sets that tuning may look at; its step is kept_step, or `steps` without a rule.
    trajectory: every paragraph's scores at each check, the base model's first; nothing without a stop rule.
    """

    steps: int
    kept_step: int | None
    stopped_because: str
    patch: Patch
    kept_check: Check
    trajectory: Sequence[CheckedScores] = ()


def plain_trainer(callbacks: Sequence[lightning.Callback], max_steps: int | None) -> lightning.Trainer:
    """A Lightning trainer with a progress bar that writes no files."""
    return alone(lightning.Trainer)(
        max_steps=max_steps or DEFAULT_STOP.max_steps,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[*callbacks, RichProgressBar()],
    )


def unlearn(
    model: PreTrainedModel,
    mask: Mask,
    preparation: Preparation,
    objective: Objective | None = None,
    optimizer: MakeOptimizer | None = None,
    stop: StopRule | None = DEFAULT_STOP,
    make_trainer: MakeTrainer = plain_trainer,
    batch_size: int = 16,
    seed: int = 0,
    base_fingerprint: str | None = None,
    resume_from: Path | None = None,
    keep_patch: Callable[[Patch], None] | None = None,
) -> Training:
    """Trains deltas on the masked weights until `stop` says enough (without a rule: until the trainer's max_steps).

    batch_size: forget rows a batch, and as many retain rows; the trainer's accumulate_grad_batches make a step of them.
        Defaults: Unlearn() and Adam with lr 2e-3, right for some percent of the weights.
    resume_from: a checkpoint of an earlier, unfinished call with the same arguments; the mask must be `checkpoint_mask`'s.
        Raises UserError if it cannot be gone on from.
    keep_patch: is given the patch after the last step, before the last checkpoint is written, loggers end or anything is
        scored: where one of these fails, what was trained is not lost.
    """
    device, loss_rows, retain = model.device, preparation.loss_rows, preparation.baselines["retain_train"]
    attach(model, mask.indices)
    module = Unlearning(
        model,
        objective or Unlearn(),
        optimizer or partial(torch.optim.Adam, lr=2e-3),
        loss_rows,
        retain.paragraphs,
        retain.states,
    )
    keep = None if stop is None else StopAndKeep(stop, preparation, 2 * batch_size)
    trained, restored = HandOver(module, keep, base_fingerprint, preparation.roles, keep_patch), Restored()
    callbacks = [restored, trained] if keep is None else [restored, keep, trained]
    trainer = make_trainer(callbacks, None if stop is None else stop.max_steps)
    precision = trainer.precision_plugin
    seen = measured_in(precision, model, preparation, 2 * batch_size)
    module.retain_states = seen.baselines["retain_train"].states
    if keep is not None:
        keep.start_from(seen, precision.forward_context)
    plan = PairedEpochs(len(loss_rows), len(retain.paragraphs), batch_size, batch_size, seed, trainer.accumulate_grad_batches)
    try:
        trainer.fit(module, datamodule=UnlearningData(plan), ckpt_path=resume_from, weights_only=True)
    except Exception as error:
        # Whatever a part of Lightning, PyTorch or this package makes of a checkpoint that lacks something or holds another.
        if resume_from is None or restored.done or isinstance(error, UserError):
            raise
        raise not_readable(resume_from, error) from error
    module.to(device)  # Lightning leaves it on the CPU
    steps, kept_step, reason, patch = trained.result(trainer.global_step)
    write_deltas(model, patch.deltas)
    trajectory = () if keep is None else tuple(keep.trajectory)
    if keep is not None and reason != "nan":
        kept_check = keep.best
    else:
        look = StopAndKeep(DEFAULT_STOP, preparation, 2 * batch_size)
        look.start_from(seen, precision.forward_context)
        kept_check = look.check(module, steps if kept_step is None else kept_step)
    return Training(steps, kept_step, reason, patch, kept_check, trajectory)
