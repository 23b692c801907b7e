"""Teaching a model new paragraphs through chosen weights only, so that where they are is known."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from memunlearn.models.baking import bake
from memunlearn.models.sparse_delta import attach, delta_parameters
from memunlearn.objectives.losses import kl, token_nll
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import ReferenceStates, continuation_logits
from memunlearn.scoring.one_pass import token_hits
from memunlearn.scoring.runs import leading_run

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


Outcome = Literal["unplanted", "planted", "passed over", "not recited at the end", "lowest level not reached"]
"""What became of a level. Only a model that is `planted` (or, as the null, `unplanted`) is scored.

planted: the model at the level's own step. passed over: one step led from above the level to below the next one, or the base
model stood there before the first. The last two are said of every level of a planting that did not end as it must.
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class PlantedState:
    """The planted model at a level of remaining loss: the first step whose mean NLL is at most `level`, above the next one.

    level: nats per token. The lowest level is the planting's end: every paragraph is recited there (EM = C), and any NLL at
    or below it will do; no other level asks for an EM. model: plain, a copy of its own; None unless the outcome is "planted".
    steps: optimizer steps until here (passed over: until the step that did; not planted: until training ended).
    em: [n] int64, nll: [n] fp32, nats per token: of the n planted paragraphs after these steps, on the CPU.
    """

    level: float
    outcome: Outcome
    model: PreTrainedModel | None
    steps: int
    em: Tensor
    nll: Tensor


@dataclass(frozen=True, eq=False)
class _Visit:
    """What is kept of a step until the planting's end is known. deltas: their values; None: passed over."""

    steps: int
    em: Tensor
    nll: Tensor
    deltas: list[Tensor] | None


def plant_paragraphs(
    model: PreTrainedModel,
    indices: Mapping[str, Tensor | None],
    paragraphs: ParagraphSet,
    *,
    keep: ParagraphSet,
    reference: ReferenceStates,
    recipe: Recipe,
    seed: int = 0,
) -> Iterator[PlantedState]:
    """One state for each level, highest first, from one training run; `model` is left as it is, bit for bit.

    A copy of the model minimises NLL(paragraphs) + keep_weight * KL(keep) with Adam on a SparseDelta: only the weights at
    `indices` (flat, per tensor; None: all of it) can move, every other weight of a state's model is bit-identical to the
    base. All paragraphs are in every batch. reference: the model's own states on `keep`. No two models are of the same step;
    there is none unless the paragraphs are recited at the lowest level. The same input gives the same states. Raises
    UserError as `models.attach` does.
    """
    copied = copy.deepcopy(model)
    attach(copied, indices)
    deltas = list(delta_parameters(copied).values())
    optimizer = torch.optim.Adam(deltas, lr=recipe.learning_rate, betas=BETAS)
    generator = torch.Generator().manual_seed(seed)
    length, planted = paragraphs.continuation_length, len(paragraphs)
    labels = paragraphs.continuations.to(copied.device)
    levels = sorted(recipe.levels, reverse=True)
    visits: list[_Visit] = []
    low_enough = False
    for step in range(recipe.max_steps + 1):
        kept = torch.randperm(len(keep), generator=generator)[: recipe.keep_batch if recipe.keep_weight else 0]
        logits = continuation_logits(copied, torch.cat([paragraphs.ids, keep.ids[kept]]), length)
        nll = token_nll(logits[:planted], labels).mean(1)
        em = leading_run(token_hits(logits[:planted].detach(), labels)).cpu()
        mean = float(nll.detach().mean())
        here = _Visit(step, em, nll.detach().cpu(), None)
        while len(visits) < len(levels) - 1 and mean <= levels[len(visits)]:
            is_between = step > 0 and mean > levels[len(visits) + 1]
            visits.append(replace(here, deltas=_values(deltas)) if is_between else here)
        low_enough = low_enough or mean <= levels[-1]
        if step > 0 and mean <= levels[-1] and bool((em == length).all()):
            visits.append(replace(here, deltas=_values(deltas)))
            break
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
    if len(visits) < len(levels):
        outcome: Outcome = "not recited at the end" if low_enough else "lowest level not reached"
        yield from (
            PlantedState(level=level, outcome=outcome, model=None, steps=here.steps, em=here.em, nll=here.nll)
            for level in levels
        )
        return
    for level, visit in zip(levels, visits, strict=True):
        if visit.deltas is None:
            yield PlantedState(level=level, outcome="passed over", model=None, steps=visit.steps, em=visit.em, nll=visit.nll)
        else:
            _set_values(deltas, visit.deltas)
            yield PlantedState(
                level=level, outcome="planted", model=bake(copied), steps=visit.steps, em=visit.em, nll=visit.nll
            )


def _values(deltas: Sequence[Tensor]) -> list[Tensor]:
    return [delta.detach().clone() for delta in deltas]


@torch.no_grad()
def _set_values(deltas: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for delta, value in zip(deltas, values, strict=True):
        delta.copy_(value)
