"""Hidden states after one block, at the C positions that predict a continuation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from memunlearn.errors import UserError
from memunlearn.models.components import WeightTensor
from memunlearn.models.text_config import hidden_size
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.forward import continuation_logits, room_for


def block_after(weights: Sequence[WeightTensor], layer: int | Literal["middle"]) -> str:
    """The path of the block whose output is meant; the middle one is number L // 2 of L. weights: the model's eligible ones.

    Raises UserError if there is no such block.
    """
    blocks = {weight.layer: weight.name.partition(f".{weight.layer}.")[0] + f".{weight.layer}" for weight in weights}
    number = len(blocks) // 2 if layer == "middle" else layer
    if number not in blocks:
        raise UserError(f"objective.layer={layer}: this model has blocks 0 .. {max(blocks)}")
    return blocks[number]


@contextlib.contextmanager
def outputs_of(block: nn.Module, length: int) -> Iterator[list[Tensor]]:
    """A list that receives what the block gives at each pass, at the last `length` positions: [B, length, D]."""
    received: list[Tensor] = []

    def receive(module: nn.Module, inputs: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        states = output[0] if isinstance(output, tuple) else output
        received.append(states[:, -length:])

    handle = block.register_forward_hook(receive)
    try:
        yield received
    finally:
        handle.remove()


@torch.no_grad()
def hidden_states(
    model: PreTrainedModel,
    block: str,
    paragraphs: ParagraphSet,
    batch_size: int,
    *,
    directory: Path | None = None,
    description: str | None = None,
) -> Tensor:
    """[N, C, D] fp32 on the CPU, a memory-mapped file in the directory where large: what the
    block of this path gives on each paragraph."""
    length = paragraphs.continuation_length
    # The head may be narrower, behind a projection.
    states = room_for((len(paragraphs), length, hidden_size(model)), directory)
    batches = torch.arange(len(paragraphs)).split(batch_size)
    for rows in track(batches, description) if description else batches:
        if len(rows):
            with outputs_of(model.get_submodule(block), length) as received:
                continuation_logits(model, paragraphs.ids[rows], length)
            states[rows] = received[0].float().cpu()
    return states
