"""Settings of how a step is computed, not of what it does: compile and gradient_checkpointing."""

from __future__ import annotations

import lightning
from hydra.utils import instantiate
from omegaconf import DictConfig

from memunlearn.errors import UserError
from memunlearn.unlearning.compiled_blocks import CompiledBlocks, check_compiler
from memunlearn.unlearning.gradient_checkpointing import GradientCheckpointing
from memunlearn.unlearning.per_paragraph import PerParagraph


def check_step_settings(cfg: DictConfig) -> None:
    """Raises UserError for what cannot be compiled."""
    if not cfg.compile:
        return
    if isinstance(instantiate(cfg.protocol), PerParagraph):
        raise UserError("compile=true with protocol=per_paragraph would compile every trial's deltas anew: leave compile out")
    check_compiler(str(cfg.trainer.accelerator))


def step_callbacks(cfg: DictConfig) -> list[lightning.Callback]:
    """In the order in which they must wrap the blocks: what is computed again is compiled."""
    compiled: list[lightning.Callback] = [CompiledBlocks()] if cfg.compile else []
    return [*compiled, *([GradientCheckpointing()] if cfg.gradient_checkpointing else [])]
