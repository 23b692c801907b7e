"""Teaching a model new paragraphs through chosen weights only, so that where they are is known."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from memunlearn.models.baking import bake
from memunlearn.models.sparse_delta import attach, delta_parameters
from memunlearn.objectives.losses import kl, token_nll
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates, continuation_logits
from memunlearn.scoring.metrics import leading_run, token_hits

# A single head learns a paragraph only in small, even steps: without these it gets stuck or diverges.
BETAS = (0.9, 0.98)
GRADIENT_NORM = 0.3
WARM_UP = 20


@dataclass(frozen=True)
class Recipe:
    """How paragraphs are planted.

    levels: of remaining loss, nats per token. learning_rate: of Adam, after a warm-up. max_steps: for all levels together.
    keep_weight: of the KL on other text; keep_batch: its rows a step, drawn with the seed.
    """

    levels: tuple[float, ...]
    learning_rate: float
    max_steps: int
    keep_weight: float
    keep_batch: int


@dataclass(frozen=True, eq=False)
class PlantedState:
    """The planted model when a level of remaining loss was reached, or where it stood when steps ran out.

    level: nats per token. reached: every planted paragraph is recited (EM = C) and their mean NLL is at most `level`.
    model: plain, a copy of its own; None where the level was not reached. steps: optimizer steps until here.
    em: [n] int64, nll: [n] fp32, nats per token: of the n planted paragraphs, on the CPU.
    """

    level: float
    reached: bool
    model: PreTrainedModel | None
    steps: int
    em: Tensor
    nll: Tensor


def plant_paragraphs(
    model: PreTrainedModel,
    indices: Mapping[str, Tensor | None],
    paragraphs: ParagraphSet,
    keep: ParagraphSet,
    reference: ReferenceStates,
    recipe: Recipe,
    seed: int = 0,
) -> Iterator[PlantedState]:
    """One state for each level, highest first, from one training run; `model` is left as it is, bit for bit.

    A copy of the model minimises NLL(paragraphs) + keep_weight * KL(keep) with Adam on a SparseDelta: only the weights at
    `indices` (flat, per tensor; None: all of it) can move, every other weight of a state's model is bit-identical to the
    base. All paragraphs are in every batch. reference: the model's own states on `keep`. The same input gives the same
    states. Raises UserError as `models.attach` does.
    """
    copied = copy.deepcopy(model)
    attach(copied, indices)
    deltas = list(delta_parameters(copied).values())
    optimizer = torch.optim.Adam(deltas, lr=recipe.learning_rate, betas=BETAS)
    generator = torch.Generator().manual_seed(seed)
    length, planted = paragraphs.continuation_length, len(paragraphs)
    labels = paragraphs.continuations.to(copied.device)
    waiting = sorted(recipe.levels, reverse=True)
    for step in range(recipe.max_steps + 1):
        kept = torch.randperm(len(keep), generator=generator)[: recipe.keep_batch if recipe.keep_weight else 0]
        logits = continuation_logits(copied, torch.cat([paragraphs.ids, keep.ids[kept]]), length)
        nll = token_nll(logits[:planted], labels).mean(1)
        em = leading_run(token_hits(logits[:planted].detach(), labels)).cpu()
        mean = float(nll.detach().mean())
        while waiting and mean <= waiting[0] and bool((em == length).all()):
            yield PlantedState(waiting.pop(0), True, bake(copied), step, em, nll.detach().cpu())
        if not waiting:
            return
        if step == recipe.max_steps or not mean < float("inf"):
            break
        loss = nll.mean()
        if len(kept):
            loss = loss + recipe.keep_weight * kl(reference.logits(kept), logits[planted:])
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(deltas, GRADIENT_NORM)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, (step + 1) / WARM_UP)
        optimizer.step()
    for level in waiting:
        yield PlantedState(level, False, None, step, em, nll.detach().cpu())
