"""Scores of paragraphs: what one forward pass a paragraph tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.forward import ReferenceStates, check_head, continuation_logits, head_inputs
from memunlearn.scoring.metrics import ExactMatch, LongestRun, ReferenceKL, TokenNLL


@dataclass(frozen=True)
class ParagraphScores:
    """One row a paragraph, on the CPU.

    em, longest_run: [N] int64, 0..C. token_nll: [N, C] fp32, nats. kl: [N] fp32, nats per token; None without a reference.
    """

    em: Tensor
    longest_run: Tensor
    token_nll: Tensor
    kl: Tensor | None = None

    @property
    def nll(self) -> Tensor:
        """[N] fp32, nats per token."""
        return self.token_nll.mean(1)

    def select(self, rows: Tensor) -> ParagraphScores:
        return ParagraphScores(
            self.em[rows], self.longest_run[rows], self.token_nll[rows], None if self.kl is None else self.kl[rows]
        )


def _batches(paragraphs: ParagraphSet, batch_size: int, description: str | None) -> Iterator[Tensor]:
    """Row numbers, batch_size at a time; with a progress bar if a description is given."""
    rows = torch.arange(len(paragraphs)).split(batch_size)
    yield from track(rows, description) if description else rows


@torch.no_grad()
def score(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    batch_size: int = 16,
    reference: ReferenceStates | None = None,
    record: ReferenceStates | None = None,
    description: str | None = None,
) -> ParagraphScores:
    """EM, longest run, NLL and (with the base model's states as reference) KL of every paragraph, from one pass each.

    record: filled with this model's own final hidden states, for later use as a reference.
    Raises UserError if an id is beyond the model's vocabulary.
    """
    paragraphs.check_vocabulary(model.config.vocab_size)
    length = paragraphs.continuation_length
    if not len(paragraphs):
        none = torch.empty(0, dtype=torch.int64)
        return ParagraphScores(none, none, torch.empty(0, length), None if reference is None else torch.empty(0))
    em, run, nll, kl = ExactMatch(), LongestRun(), TokenNLL(), ReferenceKL()
    with parametrize.cached():
        for rows in _batches(paragraphs, batch_size, description):
            with head_inputs(model) as received:
                logits = continuation_logits(model, paragraphs.ids[rows], length)
            labels = paragraphs.continuations[rows].to(logits.device)
            for metric in (em, run, nll):
                metric.to(logits.device).update(logits, labels)
            if record is not None:
                if not int(rows[0]):
                    check_head(model, received[0], logits)
                record.hidden[rows] = received[0].float().cpu()
            if reference is not None:
                kl.to(logits.device).update(reference.logits(rows), logits)
    count = len(paragraphs)
    return ParagraphScores(
        em.compute().reshape(count).cpu(),
        run.compute().reshape(count).cpu(),
        nll.compute().reshape(count, length).cpu(),
        None if reference is None else kl.compute().reshape(count).cpu(),
    )


def reference_states(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    batch_size: int = 16,
    directory: Path | None = None,
    description: str | None = None,
) -> tuple[ParagraphScores, ReferenceStates]:
    """The base model's scores and its final hidden states [N, C, D], from the same pass.

    KL is 0 in these scores by definition: the model is its own reference.
    """
    states = ReferenceStates.empty(len(paragraphs), paragraphs.continuation_length, model, directory)
    scores = score(model, paragraphs, batch_size, record=states, description=description)
    return replace(scores, kl=torch.zeros(len(paragraphs))), states
