"""gradient_checkpointing=true: less memory for a third more computing."""

from __future__ import annotations

from functools import partial

import lightning
from torch import nn
from torch.utils.checkpoint import checkpoint

from memunlearn.unlearning.blocks import blocks_of, unwrapped


class GradientCheckpointing(lightning.Callback):
    """In training, what a block computes is thrown away after its forward pass, but for its output, and computed again where
    its gradient is (Chen et al. 2016, arXiv 1604.06174). So are the effective weights of its deltas.

    transformers' own switch does nothing in eval mode, in which models are trained here so that dropout stays off; with it off,
    no state of a random generator needs to be kept.
    """

    def __init__(self) -> None:
        self.wrapped: list[nn.Module] = []

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        for block in blocks_of(module, "gradient_checkpointing"):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
            self.wrapped.append(block)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        unwrapped(self.wrapped)

    def on_exception(self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException) -> None:
        unwrapped(self.wrapped)
