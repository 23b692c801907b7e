"""What a run trains with, made of its config: the same in every process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lightning
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig
from transformers import PreTrainedModel

from memunlearn.commands.curve_file import KeepCurve
from memunlearn.commands.resuming import CHECKPOINTS
from memunlearn.commands.run_checks import mask_strategy
from memunlearn.commands.settings import in_place_of_null
from memunlearn.commands.several.trainer import leave_signals, together
from memunlearn.commands.step_settings import step_callbacks
from memunlearn.curvature.measure import MeasureCurvature, measure_curvature
from memunlearn.localization.weight_attribution import Attribution
from memunlearn.models.components import WeightTensor
from memunlearn.objectives.material import Objective
from memunlearn.one_process import alone
from memunlearn.several_processes import count
from memunlearn.unlearning.checkpoints import WholeCheckpoints
from memunlearn.unlearning.ingredients import Ingredients, KeepTrial
from memunlearn.unlearning.preparation import Preparation
from memunlearn.unlearning.stopping import StopRule


def ingredients_of(
    cfg: DictConfig,
    model: PreTrainedModel,
    weights: Sequence[WeightTensor],
    preparation: Preparation,
    *,
    objective: Objective,
    stop: StopRule | None,
    attribution: Attribution,
    directory: Path,
    loggers: Sequence[Logger] = (),
    resume_from: Path | None = None,
    keep: KeepTrial | None = None,
    measure_curvature: MeasureCurvature = measure_curvature,
) -> Ingredients:
    """directory: the run's folder. loggers: of the trainer. The others: as in `Ingredients`."""
    return Ingredients(
        model=model,
        weights=weights,
        preparation=preparation,
        strategy=mask_strategy(cfg),
        attribution=attribution,
        objective=objective,
        optimizer=instantiate(cfg.optimizer),
        stop=stop,
        make_trainer=partial(_make_trainer, cfg, directory, loggers),
        batch_size=cfg.batch_size,
        protected_share=cfg.paragraphs.get("protected_share", 0.5),
        seed=cfg.seeds.training,
        mask_seed=cfg.seeds.mask,
        resume_from=resume_from,
        keep=keep,
        measure_curvature=measure_curvature,
        rehearsal=instantiate(cfg.rehearsal) if cfg.get("rehearsal") else None,
    )


def stop_of(cfg: DictConfig) -> StopRule | None:
    """The config's stop rule."""
    stop: StopRule | None = instantiate(cfg.stop) if cfg.get("stop") else None
    return stop


def _make_trainer(
    cfg: DictConfig,
    directory: Path,
    loggers: Sequence[Logger],
    callbacks: Sequence[lightning.Callback],
    max_steps: int | None,
) -> lightning.Trainer:
    configured = [
        instantiate(callback, **in_place_of_null(callback, "dirpath", directory / CHECKPOINTS))
        for callback in cfg.callbacks.values()
        if callback
    ]
    keeps_checkpoints = any(isinstance(callback, ModelCheckpoint) for callback in configured)
    made, root = instantiate(cfg.trainer, _partial_=True), directory / CHECKPOINTS
    if count() > 1:
        # Nothing behind the layer that an objective looks at has a gradient.
        make = together(made, root, unused=instantiate(cfg.objective).needs.layer is not None)
    else:
        make = alone(partial(made, strategy="auto") if cfg.trainer.strategy == "ddp" else made, root)
    trainer: lightning.Trainer = make(
        callbacks=[*callbacks, KeepCurve(), *step_callbacks(cfg), *configured],
        logger=list(loggers),
        enable_checkpointing=keeps_checkpoints,
        max_steps=max_steps or cfg.trainer.max_steps,
    )
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    if count() > 1:
        leave_signals(trainer)
    return trainer
