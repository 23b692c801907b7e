"""The transformer blocks of the model that a LightningModule trains."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from memunlearn.errors import UserError


def blocks_of(module: nn.Module, setting: str) -> list[nn.Module]:
    """Raises UserError, naming the setting that asks for them, for a model that does not say which of its parts they are."""
    models = [part for part in module.modules() if isinstance(part, PreTrainedModel)]
    blocks = [part for part in models[0].modules() if isinstance(part, GradientCheckpointingLayer)] if models else []
    if not blocks:
        name = type(models[0]).__name__ if models else type(module).__name__
        raise UserError(f"{setting}=true: {name} does not say which of its parts are blocks; leave {setting} out")
    return list(blocks)


def unwrapped(blocks: list[nn.Module]) -> None:
    """Gives these blocks the forward of their class again, and empties the list."""
    while blocks:
        blocks.pop().__dict__.pop("forward", None)
