"""Training the deltas of one mask, with a stop rule: what both the command and a notebook call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import RichProgressBar
from transformers import PreTrainedModel

from memunlearn import several_processes
from memunlearn.curvature.measure import MeasureCurvature, measure_curvature
from memunlearn.errors import UserError
from memunlearn.masks.selection import Mask
from memunlearn.models.components import WeightTensor
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.patches import Patch
from memunlearn.models.sparse_delta import MakeDelta, attach, detach, sparse_delta, write_deltas
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.material import Objective
from memunlearn.one_process import alone
from memunlearn.paragraphs.batches import PairedEpochs, protected_rows_a_batch
from memunlearn.paragraphs.data_module import UnlearningData
from memunlearn.unlearning.checkpoints import Restored, not_readable
from memunlearn.unlearning.checks import Check, CheckedScores
from memunlearn.unlearning.hand_over import HandOver, KeepChange
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.module import Unlearning
from memunlearn.unlearning.optimizers import MakeOptimizer, RunContext
from memunlearn.unlearning.precision import measured_in
from memunlearn.unlearning.preparation import Preparation
from memunlearn.unlearning.rehearsal import Rehearsal
from memunlearn.unlearning.step_rows import StepRows
from memunlearn.unlearning.stopping import StopAndKeep, StopRule

MakeTrainer = Callable[[Sequence[lightning.Callback], int | None], lightning.Trainer]
"""Given a protocol's callbacks and its number of steps (None: the trainer's own), makes the trainer."""

DEFAULT_STOP = StopRule()


@dataclass(frozen=True, kw_only=True)
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
    trainer: lightning.Trainer = alone(lightning.Trainer)(
        max_steps=max_steps or DEFAULT_STOP.max_steps,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[*callbacks, RichProgressBar()],
    )
    return trainer


def unlearn(
    model: PreTrainedModel,
    mask: Mask,
    preparation: Preparation,
    objective: Objective | None = None,
    optimizer: MakeOptimizer | None = None,
    *,
    stop: StopRule | None = DEFAULT_STOP,
    make_trainer: MakeTrainer = plain_trainer,
    batch_size: int = 16,
    protected_share: float = 0.5,
    seed: int = 0,
    weights: Sequence[WeightTensor] = (),
    make_delta: MakeDelta = sparse_delta,
    measure_curvature: MeasureCurvature = measure_curvature,
    rehearsal: Rehearsal | None = None,
    resume_from: Path | None = None,
    keep_change: KeepChange | None = None,
) -> Training:
    """Trains deltas on the masked weights until `stop` says enough (without a rule: until the trainer's max_steps).

    objective, optimizer: by default Demote() and Kfac(), as `train` does it; right for a mask of all weights.
    batch_size: forget rows a batch, and as many rows to keep, of which `protected_share` are protected where such rows are
        given; the trainer's accumulate_grad_batches make a step of them.
    weights: the eligible ones, for an optimizer that wants to know them (Kfac finds them itself where they are not given).
        measure_curvature: what it measures with.
    make_delta: the kind of delta that is trained on the masked weights. The patch, and what the model carries afterwards, are
        always plain deltas.
    rehearsal: relearning in the loop, see there; None for none.
    resume_from: a checkpoint of an earlier, unfinished call with the same arguments; the mask must be `checkpoint_mask`'s.
        Raises UserError if it cannot be gone on from.
    keep_change: is given what was trained after the last step, before the last checkpoint is written, loggers end or anything
        is scored: where one of these fails, what was trained is not lost.
    """
    device, objective = model.device, objective or Demote()
    if rehearsal is not None:
        rehearsal.check(objective)
    StepRows.of(preparation, objective.needs)  # refuses what cannot be trained before anything is attached
    epochs_of(preparation, batch_size=batch_size, protected_share=protected_share, seed=seed)  # refuses a share early
    keep = None if stop is None else StopAndKeep(stop, preparation, 2 * batch_size)
    trained = HandOver(keep, preparation.roles, keep_change or (lambda change: change.stamped(fingerprint(model), {})))
    restored = Restored()
    callbacks = [restored, trained] if keep is None else [restored, keep, trained]
    trainer = make_trainer(callbacks, None if stop is None else stop.max_steps)
    precision = trainer.precision_plugin
    seen = measured_in(precision, model, preparation, 2 * batch_size)
    attach(model, mask.indices, make_delta)  # not before: a subnetwork is never the base model
    if keep is not None:
        keep.start_from(seen, precision.forward_context)
    context = RunContext(
        model=model,
        weights=weights,
        preparation=seen,
        objective=objective,
        batch_size=batch_size,
        seed=seed,
        measure_curvature=measure_curvature,
    )
    module = Unlearning(context, optimizer or Kfac(), StepRows.of(seen, objective.needs), rehearsal)
    plan = epochs_of(
        preparation,
        batch_size=batch_size,
        protected_share=protected_share,
        seed=seed,
        accumulate=trainer.accumulate_grad_batches,
    )
    try:
        trainer.fit(module, datamodule=UnlearningData(plan), ckpt_path=resume_from, weights_only=True)
    except Exception as error:
        # Whatever a part of Lightning, PyTorch or this package makes of a checkpoint that lacks something or holds another.
        if resume_from is None or restored.done or isinstance(error, UserError):
            raise
        raise not_readable(resume_from, error) from error
    module.to(device)  # Lightning leaves it on the CPU
    handed_over = trained.result(module, trainer.global_step)
    steps, kept_step, reason = handed_over.steps, handed_over.kept_step, handed_over.stopped_because
    _carry(model, handed_over.patch, make_delta)
    trajectory = () if keep is None else tuple(keep.trajectory)
    if keep is not None and reason != "nan":
        kept_check = keep.best
    else:
        look = StopAndKeep(DEFAULT_STOP, preparation, 2 * batch_size)
        look.start_from(seen, precision.forward_context)
        kept_check = look.check(model, steps if kept_step is None else kept_step)
    return Training(
        steps=steps,
        kept_step=kept_step,
        stopped_because=reason,
        patch=handed_over.patch,
        kept_check=kept_check,
        trajectory=trajectory,
    )


def epochs_of(
    preparation: Preparation, *, batch_size: int, protected_share: float, seed: int, accumulate: int = 1
) -> PairedEpochs:
    """The order of the rows. Raises UserError if all or none of the rows to keep of a batch would be protected."""
    protected = preparation.baselines.get("protected")
    keeps = protected_rows_a_batch(batch_size, protected_share) if protected is not None else 0
    return PairedEpochs(
        forget_rows=len(preparation.loss_rows),
        retain_rows=len(preparation.baselines["retain_train"].paragraphs),
        forget_batch=batch_size,
        retain_batch=batch_size - keeps,
        seed=seed,
        accumulate=accumulate,
        protected_rows=len(protected.paragraphs) if protected is not None else 0,
        protected_batch=keeps,
        processes=several_processes.count(),
        process=several_processes.number(),
    )


def _carry(model: PreTrainedModel, patch: Patch, make_delta: MakeDelta) -> None:
    """The model carries the patch, as plain deltas."""
    if make_delta is not sparse_delta:
        detach(model)
        attach(model, patch.indices)
    write_deltas(model, patch.deltas)
