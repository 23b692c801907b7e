"""Training the deltas of one mask, with a stop rule: what both the command and a notebook call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.errors import UserError, is_out_of_memory
from memunlearn.masks.selection import Mask
from memunlearn.models.patches import Patch, capture_patch
from memunlearn.models.sparse_delta import attach, write_deltas, zero_deltas
from memunlearn.objectives.contrastive import Objective, Unlearn
from memunlearn.paragraphs.batches import PairedEpochs
from memunlearn.paragraphs.data_module import UnlearningData
from memunlearn.unlearning.module import MakeOptimizer, Unlearning
from memunlearn.unlearning.preparation import Preparation
from memunlearn.unlearning.stopping import Check, CheckedScores, StopAndKeep, StopRule

MakeTrainer = Callable[[Sequence[lightning.Callback], int | None], lightning.Trainer]
"""Given a protocol's callbacks and its number of steps (None: the trainer's own), makes the trainer."""

DEFAULT_STOP = StopRule()


@dataclass(frozen=True)
class Training:
    """What training ended with; the model carries the kept deltas.

    steps: optimizer steps taken. kept_step: the step whose state was kept, None for the last one.
    stopped_because: "forget_em", "max_kl", "max_steps" or "nan". patch: the kept change.
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
    return lightning.Trainer(
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
) -> Training:
    """Trains deltas on the masked weights until `stop` says enough (without a rule: until the trainer's max_steps).

    batch_size: forget rows a step, and as many retain rows. Defaults: Unlearn() and Adam with lr 2e-3, right for some
        percent of the weights.
    resume_from: a checkpoint of an earlier, unfinished call with the same arguments; the mask must be `checkpoint_mask`'s.
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
    trainer = make_trainer([] if keep is None else [keep], None if stop is None else stop.max_steps)
    plan = PairedEpochs(len(loss_rows), len(retain.paragraphs), batch_size, batch_size, seed)
    trainer.fit(module, datamodule=UnlearningData(plan), ckpt_path=resume_from, weights_only=True)
    module.to(device)  # Lightning leaves it on the CPU
    steps, kept_step, reason = _keep(model, module, keep, trainer.global_step)
    trajectory = () if keep is None else tuple(keep.trajectory)
    if keep is not None and reason != "nan":
        kept_check = keep.best
    else:
        look = StopAndKeep(DEFAULT_STOP, preparation, 2 * batch_size)
        kept_check = look.check(module, steps if kept_step is None else kept_step)
    return Training(steps, kept_step, reason, capture_patch(model, {}, base_fingerprint), kept_check, trajectory)


def _keep(model: PreTrainedModel, module: Unlearning, keep: StopAndKeep | None, steps: int) -> tuple[int, int | None, str]:
    """Writes the deltas that are to be kept into the model."""
    module.check_last_step()
    if module.diverged_at is not None:
        write_deltas(model, module.last_good) if module.last_good else zero_deltas(model)
        return module.diverged_at, module.last_good_step, "nan"
    if keep is None:
        return steps, None, "max_steps"
    if keep.best.step:
        write_deltas(model, keep.best_deltas)
    else:
        zero_deltas(model)
    return steps, keep.best.step, keep.stopped_because


def checkpoint_mask(path: Path) -> Mapping[str, Tensor | None]:
    """The mask's indices from a checkpoint: a resumed run trains the very same weights.

    Raises UserError if the file is not a readable checkpoint of an unlearning run.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:  # torch.load raises many kinds of error for a damaged file
        if is_out_of_memory(error):
            raise UserError(
                f"out of memory: the checkpoint {path} does not fit: close other programs, or use more memory"
            ) from error
        raise UserError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): start the run anew in another folder"
        ) from error
    indices: dict[str, Tensor | None] = {}
    for key in state:
        path_of_weight, _, field = key.removeprefix("model.").rpartition(".0.")
        name = path_of_weight.replace(".parametrizations.", ".")
        if field == "delta":
            indices.setdefault(name, None)
        elif field == "indices":
            indices[name] = state[key]
    return indices
