"""One teacher-forced pass over a paragraph, at the C positions that predict its continuation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from memunlearn.scoring.inputs import model_inputs, onto
from memunlearn.scoring.output_head import OutputHead

MEMORY_MAP_ABOVE = 2**30  # bytes
FILES = "hidden_*.f32"


def continuation_logits(model: PreTrainedModel, ids: Tensor, continuation_length: int) -> Tensor:
    """Logits [B, C, V] at positions P-1 .. I-2 of ids [B, I], on the model's device.

    The last token predicts nothing inside the paragraph, so it is not an input.
    """
    inputs = model_inputs(model, ids[:, :-1])
    logits: Tensor = model(**inputs, logits_to_keep=continuation_length, use_cache=False).logits
    return logits


def continuation_states(model: PreTrainedModel, ids: Tensor, continuation_length: int) -> Tensor:
    """Final hidden states [B, C, D] of ids [B, I] at the same positions: what the output head makes these logits of.

    The head is not run, so logits [B, C, V] are never there.
    """
    head = model.get_output_embeddings()
    with head_inputs(model) as received:
        # Whatever the model does to what its head gives is done to the states, and thrown away.
        head.forward = _unchanged
        try:
            continuation_logits(model, ids, continuation_length)
        finally:
            del head.forward  # the class's own shows again
    return received[0]


def _unchanged(hidden: Tensor) -> Tensor:
    return hidden


@contextlib.contextmanager
def head_inputs(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """A list that receives what the output head is given at each pass: the final hidden states [B, C, D]."""
    received: list[Tensor] = []

    def receive(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        received.append(inputs[0])

    handle = model.get_output_embeddings().register_forward_pre_hook(receive)
    try:
        yield received
    finally:
        handle.remove()


def room_for(shape: tuple[int, int, int], directory: Path | None = None) -> Tensor:
    """Hidden states [N, C, D] to fill, fp32 on the CPU; a memory-mapped file in the directory where they take over 1 GiB."""
    if directory is None or 4 * math.prod(shape) <= MEMORY_MAP_ABOVE:
        return torch.empty(shape)
    directory.mkdir(parents=True, exist_ok=True)
    numbers = sum(1 for _ in directory.glob(FILES))
    return torch.from_numpy(np.memmap(directory / f"hidden_{numbers}.f32", dtype=np.float32, mode="w+", shape=shape))


@dataclass(frozen=True)
class ReferenceStates:
    """The base model's final hidden states [N, C, D] on the continuations of N paragraphs, on the CPU (a file where large).

    head: from states to logits. It and the final norm are never trained, so the base model's distribution is one head away from
    its states.
    """

    hidden: Tensor
    head: OutputHead

    @staticmethod
    def empty(rows: int, continuation_length: int, model: PreTrainedModel, directory: Path | None = None) -> ReferenceStates:
        """Room for N rows, as `room_for` makes it."""
        head = OutputHead.of(model)
        return ReferenceStates(room_for((rows, continuation_length, head.width), directory), head)

    @staticmethod
    def remove_files(directory: Path) -> None:
        """Deletes what `empty` has left in the directory: large, of no use to another process, and not needed for resuming."""
        for file in directory.glob(FILES):
            file.unlink()

    @torch.no_grad()
    def logits(self, rows: Tensor) -> Tensor:
        """The base model's logits [B, C, V] for these rows, on the head's device; constants, never differentiated."""
        return self.head(onto(self.hidden[onto(rows, self.hidden.device)], self.head.device))

    def select(self, rows: Tensor) -> ReferenceStates:
        return ReferenceStates(self.hidden[rows], self.head)
