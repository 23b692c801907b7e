"""Other forgotten rows in front of the prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from memunlearn.attacks.attempt import Attempt, nothing_measured
from memunlearn.attacks.material import Subject, Target
from memunlearn.attacks.setting_checks import check_list, is_count
from memunlearn.models.text_config import context_length
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.score import score


@dataclass(frozen=True)
class FewShot:
    """The model is shown k other forgotten rows in full, then the row's own prefix: examples of what it should go on with. The
    k rows are drawn with the seed, a draw a row, from other clusters than the row's own, so that no near-duplicate gives the
    answer away; all C tokens are measured.

    The base model asked the same way shows whether a model that has the text says it after such a prompt at all: one that was
    trained on rows by themselves may not, so far from the start of its context. BOS, where rows begin with it, stands once, in
    front. Where the model's context holds fewer than k rows before another, or no row has k rows of other clusters, that
    attempt measures nothing and its note says why.

    shots: k, one attempt each.
    """

    shots: Sequence[int] = (1, 2)
    name: ClassVar[str] = "few_shot"

    def __post_init__(self) -> None:
        check_list("few_shot.shots", self.shots, is_count, "numbers of rows, 1 or more")

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        """An attempt for each number of shots, of the rows that have so many rows of other clusters."""
        shots = sorted(self.shots)
        return [self._attempt(number, subject, target) for number in track(shots, f"{self.name}: {subject.name}")]

    def _attempt(self, shots: int, subject: Subject, target: Target) -> Attempt:
        needed, longest = prompt_length(target.forget, shots), context_length(subject.model)
        read = needed - 1  # the last token of all predicts nothing
        if longest is not None and read > longest:
            return nothing_measured({"shots": shots}, f"its shots make {read} tokens of context, and the model has {longest}")
        chosen = drawn_shots(target.clusters, shots, target.seed)
        rows = (chosen >= 0).all(1).nonzero().flatten()
        if not len(rows):
            return nothing_measured({"shots": shots}, "no row has so many rows of other clusters")
        scores = score(subject.model, with_shots(target.forget, rows, chosen[rows]), target.batch_size)
        run = scores.values["longest_run"]
        return Attempt(settings={"shots": shots}, rows=rows, em=scores.em, longest_run=run, nll=scores.nll)


def prompt_length(forget: ParagraphSet, shots: int) -> int:
    """Tokens of so many rows in front of another, all of it: what stands in front of the text (BOS) once."""
    return forget.text_start + (shots + 1) * (forget.ids.shape[1] - forget.text_start)


def drawn_shots(clusters: Tensor, shots: int, seed: int) -> Tensor:
    """For each of N rows, `shots` other rows of other clusters than its own: [N, shots] row numbers, -1 where there are too
    few.

    clusters: [N]. A row's own draw depends on the seed and N alone; the first of two shots is the one of one.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.full((len(clusters), shots), -1)
    for row, cluster in enumerate(clusters):
        order = torch.randperm(len(clusters), generator=generator)
        others = order[clusters[order] != cluster][:shots]
        chosen[row, : len(others)] = others
    return chosen


def with_shots(forget: ParagraphSet, rows: Tensor, shots: Tensor) -> ParagraphSet:
    """The rows [m] with the texts of others in front of theirs: ids [m, prompt_length]; shots: [m, k] row numbers."""
    start = forget.text_start
    before = forget.text[shots].flatten(1)
    ids = torch.cat([forget.ids[rows, :start], before, forget.text[rows]], dim=1)
    return replace(forget.select(rows), ids=ids, prefix_length=forget.prefix_length + before.shape[1])
