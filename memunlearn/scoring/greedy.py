"""Greedy decoding: what a model says after a prefix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from transformers import GenerationConfig, PreTrainedModel

from memunlearn import several_processes
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.inputs import model_inputs


@torch.no_grad()
def greedy_continuations(
    model: PreTrainedModel, prefixes: Tensor, length: int, batch_size: int = 16, description: str | None = None
) -> Tensor:
    """Exactly `length` greedy tokens after each prefix [N, P]: [N, length] int64, on the CPU.

    Nothing but the argmax counts: EOS does not stop it, every token is attended to (real paragraphs contain EOS), and the
    checkpoint's own generation settings (repetition penalty and the like) are set aside. Several processes share the prefixes
    out among them; each is given what is said after all.
    """
    generate: Any = model.generate
    settings = GenerationConfig(max_new_tokens=length, do_sample=False, num_beams=1, use_cache=True)
    said = []
    with own_settings_aside(model), parametrize.cached():
        batches = several_processes.own(prefixes.split(batch_size) if len(prefixes) else ())
        for batch in track(batches, description) if description else batches:
            out = generate(**model_inputs(model, batch), generation_config=settings)
            said.append(out[:, batch.shape[1] :].cpu())
    return torch.cat([torch.empty(0, length, dtype=torch.int64), *several_processes.gathered(said)])


@contextlib.contextmanager
def own_settings_aside(model: PreTrainedModel) -> Iterator[None]:
    """Without the checkpoint's own generation settings, which `generate` would mix into those that it is given."""
    own_settings = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own_settings


def own_continuations(
    model: PreTrainedModel, paragraphs: ParagraphSet, em: Tensor, batch_size: int = 16, description: str | None = None
) -> ParagraphSet:
    """The paragraphs with the model's own greedy continuations; EM on them is, for a later model, self-EM.

    em [N] int64: rows where it is C already end in what the model says, and are not decoded again.
    """
    continuations = paragraphs.continuations.clone()
    other = (em < paragraphs.continuation_length).nonzero().flatten()
    continuations[other] = greedy_continuations(
        model, paragraphs.prefixes[other], paragraphs.continuation_length, batch_size, description
    )
    return paragraphs.with_continuations(continuations)
