"""Scores of paragraphs: what one forward pass a paragraph tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from memunlearn import several_processes
from memunlearn.models.text_config import vocabulary_size
from memunlearn.objectives.by_rows import rows_at_once
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.fitting_batches import FittingBatches
from memunlearn.scoring.forward import ReferenceStates, continuation_logits, head_inputs
from memunlearn.scoring.inputs import onto
from memunlearn.scoring.metric import FromPass, FromPassAndBase, FromPassAndSampling, Metric
from memunlearn.scoring.metrics import METRICS, metrics_from
from memunlearn.scoring.one_pass import OnePass
from memunlearn.scoring.output_head import check_head
from memunlearn.scoring.sampling import Sampling


@dataclass(frozen=True)
class ParagraphScores:
    """One row a paragraph, on the CPU.

    values: [N] each, by the key of every metric that comes from the pass (those that need the base model only with a
    reference); each is an attribute too: `scores.em`. token_nll: [N, C] fp32, nats.
    """

    values: Mapping[str, Tensor]
    token_nll: Tensor

    def __len__(self) -> int:
        return len(self.token_nll)

    @property
    def em(self) -> Tensor:
        """[N] int64, 0..C."""
        return self.values["em"]

    @property
    def nll(self) -> Tensor:
        """[N] fp32, nats per token."""
        return self.values["nll"]

    @property
    def kl(self) -> Tensor | None:
        """[N] fp32, nats per token; None without a reference."""
        return self.values.get("kl")

    if not TYPE_CHECKING:  # a type checker is to know the names above only

        def __getattr__(self, name: str) -> Tensor:
            if name in self.__dict__.get("values", ()):
                return self.values[name]
            raise AttributeError(f"there is no metric {name!r} among these scores")

    def cpu(self) -> ParagraphScores:
        """The same on the CPU."""
        return ParagraphScores({key: values.cpu() for key, values in self.values.items()}, self.token_nll.cpu())

    def select(self, rows: Tensor) -> ParagraphScores:
        return ParagraphScores({key: values[rows] for key, values in self.values.items()}, self.token_nll[rows])

    @staticmethod
    def concatenate(parts: Sequence[ParagraphScores]) -> ParagraphScores:
        """The rows of all of them, with the metrics that every one has."""
        keys = [key for key in parts[0].values if all(key in part.values for part in parts)]
        values = {key: torch.cat([part.values[key] for part in parts]) for key in keys}
        return ParagraphScores(values, torch.cat([part.token_nll for part in parts]))

    def tensors(self) -> dict[str, Tensor]:
        """By name, for a file."""
        return {"token_nll": self.token_nll, **self.values}

    @staticmethod
    def of_tensors(tensors: Mapping[str, Tensor]) -> ParagraphScores:
        """What `tensors` gave, from among other tensors."""
        return ParagraphScores({m.key: tensors[m.key] for m in METRICS if m.key in tensors}, tensors["token_nll"])


def _batches(paragraphs: ParagraphSet, batch_size: int, description: str | None, shared: bool) -> Iterator[Tensor]:
    """Row numbers, batch_size at a time; with a progress bar if a description is given. shared: this process's batches only."""
    rows: Sequence[Tensor] = torch.arange(len(paragraphs)).split(batch_size)
    rows = several_processes.own(rows) if shared else rows
    yield from track(rows, description) if description else rows


@torch.no_grad()
def score(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    batch_size: int = 16,
    *,
    reference: ReferenceStates | None = None,
    record: ReferenceStates | None = None,
    description: str | None = None,
    details: bool = False,
    sampling: Sampling | None = None,
) -> ParagraphScores:
    """The metrics of the pass (EM, longest run, NLL ...) and, with the base model's states as reference, those that compare
    with it (KL), of every paragraph, from one pass each.

    details: also those that only reported sets are measured by (`Metric.detail`); then, with sampling, p_z too.
    record: filled with this model's own final hidden states, for later use as a reference.
    batch_size: rows a pass; where memory does not suffice half as many from there on, which is said.
    Several processes share the rows out among them, unless they record; each is given the scores of all.
    Raises UserError if an id is beyond the model's vocabulary.
    """
    paragraphs.check_vocabulary(vocabulary_size(model))
    length = paragraphs.continuation_length
    if not len(paragraphs):
        logits = torch.empty(0, length, vocabulary_size(model))
        nothing = OnePass(logits, paragraphs.continuations, None if reference is None else logits, sampling)
        return _scores_of(nothing, details)
    compared = partial(_scores_of_rows, reference=reference, sampling=sampling, details=details)

    def read(rows: Tensor) -> ParagraphScores:
        with head_inputs(model) as received:
            logits = continuation_logits(model, paragraphs.ids[rows], length)
        if record is not None:
            if not int(rows[0]):
                check_head(model, received[0], logits)
            record.hidden[rows] = received[0].float().cpu()
        return compared(logits, onto(paragraphs.continuations[rows], logits.device), rows)

    parts, fitting = [], FittingBatches(batch_size)
    shared = record is None  # of what is recorded, every process needs all
    with parametrize.cached():
        for rows in _batches(paragraphs, batch_size, description, shared):
            parts.append(ParagraphScores.concatenate(fitting.read(rows, read)))
    if shared and several_processes.count() > 1:
        parts = several_processes.gathered([part.cpu() for part in parts])
    return ParagraphScores.concatenate(parts).cpu()


def _scores_of_rows(
    logits: Tensor,
    labels: Tensor,
    rows: Tensor,
    *,
    reference: ReferenceStates | None,
    sampling: Sampling | None,
    details: bool,
) -> ParagraphScores:
    """Of some rows at a time: what is computed of logits, in fp32, takes several times as much as they do."""
    size, parts = rows_at_once(logits[0].numel()), []
    for few, true, own in zip(logits.split(size), labels.split(size), rows.split(size), strict=True):
        base_logits = None if reference is None else reference.logits(own)
        parts.append(_scores_of(OnePass(few, true, base_logits, sampling), details))
    return ParagraphScores.concatenate(parts)


def metrics_of_pass(details: bool, compared: bool, sampled: bool) -> list[Metric]:
    """What `score` measures. compared: with a base model; sampled: p_z is asked for."""
    kinds = (FromPass, *([FromPassAndBase] if compared else []), *([FromPassAndSampling] if sampled else []))
    return [metric for metric in METRICS if isinstance(metric.source, kinds) and (details or not metric.detail)]


def _scores_of(given: OnePass, details: bool) -> ParagraphScores:
    values = {}
    for metric in metrics_of_pass(details, given.base_logits is not None, given.sampling is not None):
        assert isinstance(metric.source, FromPass | FromPassAndBase | FromPassAndSampling)
        values[metric.key] = metric.source.compute(given)
    return ParagraphScores(values, given.token_nll)


def reference_states(
    model: PreTrainedModel,
    paragraphs: ParagraphSet,
    batch_size: int = 16,
    directory: Path | None = None,
    description: str | None = None,
    *,
    details: bool = False,
    sampling: Sampling | None = None,
) -> tuple[ParagraphScores, ReferenceStates]:
    """The base model's scores and its final hidden states [N, C, D], from the same pass. details, sampling: as in `score`.

    What compares with the base model is what it is by definition (KL: 0): the model is its own reference.
    """
    states = ReferenceStates.empty(len(paragraphs), paragraphs.continuation_length, model, directory)
    scores = score(model, paragraphs, batch_size, record=states, description=description, details=details, sampling=sampling)
    itself = {
        metric.key: torch.full((len(scores),), source.itself)
        for metric, source in metrics_from(FromPassAndBase)
        if details or not metric.detail
    }
    return replace(scores, values={**scores.values, **itself}), states
