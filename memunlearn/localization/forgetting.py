"""Making a model forget paragraphs through chosen weights, and teaching some of them again through all weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.models.baking import bake
from memunlearn.models.sparse_delta import attach, base_parameters, delta_parameters
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.losses import nll
from memunlearn.objectives.material import Side, StepMaterial
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import continuation_logits
from memunlearn.scoring.one_pass import token_hits
from memunlearn.scoring.runs import leading_run
from memunlearn.scoring.score import ParagraphScores, reference_states, score


@dataclass(frozen=True)
class Forgetting:
    """How planted paragraphs are forgotten, through whatever weights.

    forget_em: mean EM that ends it. learning_rate: of Adam. max_steps: after which it has failed. keep_batch: rows of the KL on
    other text a step, drawn with the seed. objective: what is minimised.
    """

    forget_em: float
    learning_rate: float
    max_steps: int
    keep_batch: int
    objective: Demote = Demote()


@dataclass(frozen=True, eq=False)
class Forgotten:
    """steps: optimizer steps. em: [n] int64, of the paragraphs after them, on the CPU.

    is_forgotten: their mean is at most `Forgetting.forget_em`; otherwise the steps ran out, or the loss was no number.
    """

    steps: int
    em: Tensor
    is_forgotten: bool


def forget(
    model: PreTrainedModel,
    indices: Mapping[str, Tensor | None],
    paragraphs: ParagraphSet,
    *,
    keep: ParagraphSet,
    recipe: Forgetting,
    batch_size: int,
    seed: int,
) -> tuple[PreTrainedModel, Forgotten]:
    """The model that forgot (plain, a copy of its own), and how that went; `model` is left as it is.

    Adam on a SparseDelta at `indices` (flat, per tensor; None: all of it) minimises the objective until the mean EM of the
    paragraphs is low enough: no other weight can move. All paragraphs are in every batch; their EM is looked at before every
    step. The model's own distributions are the reference on both sides. The same input gives the same model. Raises UserError
    as `models.attach` does.
    """
    before = reference_states(model, paragraphs, batch_size)[1]
    kept_before = reference_states(model, keep, batch_size)[1]
    copied = copy.deepcopy(model)
    attach(copied, indices)
    deltas = delta_parameters(copied)
    optimizer = torch.optim.Adam(deltas.values(), lr=recipe.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    length, number = paragraphs.continuation_length, len(paragraphs)
    rows = torch.arange(number)
    for step in range(recipe.max_steps + 1):
        kept = torch.randperm(len(keep), generator=generator)[: recipe.keep_batch]
        logits = continuation_logits(copied, torch.cat([paragraphs.ids, keep.ids[kept]]), length)
        labels = paragraphs.continuations.to(logits.device)
        em = leading_run(token_hits(logits[:number].detach(), labels)).cpu()
        material = StepMaterial(
            forget=Side.of_logits(
                rows=rows,
                labels=labels,
                logits=logits[:number],
                protected=torch.zeros(number, dtype=torch.bool),
                read_base_logits=lambda: before.logits(rows),
            ),
            retain=Side.of_logits(
                rows=kept,
                labels=keep.continuations[kept].to(logits.device),
                logits=logits[number:],
                protected=torch.zeros(len(kept), dtype=torch.bool),
                read_base_logits=lambda kept=kept: kept_before.logits(kept),  # type: ignore[misc]
            ),
            deltas=deltas,
        )
        loss = recipe.objective(material).total
        is_finite = bool(loss.isfinite())
        is_forgotten = is_finite and float(em.double().mean()) <= recipe.forget_em
        if is_forgotten or step == recipe.max_steps or not is_finite:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return bake(copied), Forgotten(step, em, is_forgotten)


@dataclass(frozen=True, eq=False)
class Relearned:
    """After so many steps: the model's scores of the paragraphs that it is taught again, and of the other ones."""

    steps: int
    taught: ParagraphScores
    other: ParagraphScores


def taught(
    model: PreTrainedModel,
    names: Sequence[str],
    paragraphs: ParagraphSet,
    batches: Iterable[Tensor],
    *,
    learning_rate: float,
    weight_decay: float = 0.01,
) -> Iterator[PreTrainedModel]:
    """A copy of a plain model before and after each of the batches [B] of row numbers: the same copy, which goes on from there
    when the next is asked for.

    AdamW on the weights called `names` minimises the mean NLL of the batch's continuations. In evaluation mode: no dropout.
    """
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    parameters = base_parameters(copied)
    trained = [parameters[name].requires_grad_(True) for name in names]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
    yield copied
    for rows in batches:
        logits = continuation_logits(copied, paragraphs.ids[rows], paragraphs.continuation_length)
        loss = nll(logits, paragraphs.continuations[rows].to(logits.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield copied


def relearn(
    model: PreTrainedModel,
    names: Sequence[str],
    rows: ParagraphSet,
    other: ParagraphSet,
    *,
    steps: Sequence[int],
    learning_rate: float,
    batch_size: int,
) -> list[Relearned]:
    """`taught` on all of the rows at each step: one entry for 0 and each of `steps` (ascending). Nothing is drawn.

    `other` is never in a loss: what comes back of it was not forgotten but hidden, or is what this much training teaches any
    model (relearn one that never knew it to see).
    """
    batches = [torch.arange(len(rows))] * max(steps)
    return [
        Relearned(step, score(copied, rows, batch_size), score(copied, other, batch_size))
        for step, copied in enumerate(taught(model, names, rows, batches, learning_rate=learning_rate))
        if step in (0, *steps)
    ]
