"""Prefixes that start elsewhere, or are shorter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from memunlearn.attacks.attempt import Attempt, Settings
from memunlearn.attacks.material import Subject, Target
from memunlearn.attacks.setting_checks import check_list, is_count
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.progress import track
from memunlearn.scoring.score import ParagraphScores, score

ANY = "any"
AS_IT_STANDS = "the row as it stands, to compare with"


@dataclass(frozen=True)
class Positions:
    """The model is asked from other places of the same row: with a prefix that starts i tokens later (tokens i .. P+i-1; the
    C-i tokens after it are measured), or with only the last k tokens of the prefix (all C tokens are measured). Of every row
    the largest EM, the largest longest run and the lowest NLL over all of these count: the attempt in which shift and prefix
    are "any". The row as it stands is read beside them and is no attempt.

    BOS, where rows begin with it, stays in front of every prefix. A prefix that is longer by i tokens of the continuation needs
    no reading of its own: what follows it is a run at offset i, which the longest run of the row as it stands holds. Prefixes
    that begin before the row are not tried: rows do not carry the text around them. (How much is recited after prefixes of
    other lengths: Carlini et al. 2022, arXiv 2202.07646.)

    shifts: i, tokens, each below C. lengths: k, tokens of text, each below the prefix's own.
    """

    shifts: Sequence[int] = (1, 2, 5, 10, 20)
    lengths: Sequence[int] = (25, 40)
    name: ClassVar[str] = "positions"

    def __post_init__(self) -> None:
        for setting, numbers in (("shifts", self.shifts), ("lengths", self.lengths)):
            check_list(f"positions.{setting}", numbers, is_count, "numbers of tokens, 1 or more", empty=True)

    def __call__(self, subject: Subject, target: Target) -> list[Attempt]:
        """The row as it stands, an attempt a place that the rows are long enough for, then the largest of these."""
        places = self._places(target.forget)
        rows = torch.arange(len(target.forget))
        attempts, read = list[Attempt](), list[ParagraphScores]()
        for settings, paragraphs in track(places, f"{self.name}: {subject.name}"):
            scores = score(subject.model, paragraphs, target.batch_size)
            elsewhere = paragraphs is not target.forget
            attempts.append(_attempt(settings, rows, [scores], note="" if elsewhere else AS_IT_STANDS))
            if elsewhere:
                read.append(scores)
        return [*attempts, _attempt({"shift": ANY, "prefix": ANY}, rows, read)] if read else attempts

    def _places(self, forget: ParagraphSet) -> list[tuple[Settings, ParagraphSet]]:
        own = forget.prefix_length - forget.text_start
        shifts = [shift for shift in self.shifts if shift < forget.continuation_length]
        lengths = [length for length in self.lengths if length < own]
        return [
            ({"shift": 0, "prefix": own}, forget),
            *(({"shift": i, "prefix": own}, shifted(forget, i)) for i in shifts),
            *(({"shift": 0, "prefix": k}, shortened(forget, k)) for k in lengths),
        ]


def shifted(paragraphs: ParagraphSet, by: int) -> ParagraphSet:
    """[N, I] -> [N, I - by]: prefixes of as many tokens that start `by` later, and what is left of the continuations.

    What stands in front of the text (BOS) stays there. 0 <= by < C.
    """
    start = paragraphs.text_start
    return replace(paragraphs, ids=torch.cat([paragraphs.ids[:, :start], paragraphs.ids[:, start + by :]], dim=1))


def shortened(paragraphs: ParagraphSet, length: int) -> ParagraphSet:
    """[N, I] -> [N, text_start + length + C]: the last `length` tokens of each prefix, and the whole continuation.

    What stands in front of the text (BOS) stays there. 1 <= length <= P - text_start.
    """
    start = paragraphs.text_start
    kept = paragraphs.ids[:, paragraphs.prefix_length - length :]
    return replace(paragraphs, ids=torch.cat([paragraphs.ids[:, :start], kept], dim=1), prefix_length=start + length)


def _attempt(settings: Settings, rows: Tensor, read: Sequence[ParagraphScores], note: str = "") -> Attempt:
    """What counts of one or several readings of the same rows: of each row the largest EM and run, and the lowest NLL."""
    return Attempt(
        settings=settings,
        rows=rows,
        em=torch.stack([scores.em for scores in read]).amax(0),
        longest_run=torch.stack([scores.values["longest_run"] for scores in read]).amax(0),
        nll=torch.stack([scores.nll for scores in read]).amin(0),
        counts=not note,
        note=note,
        whole=torch.stack([scores.em == scores.token_nll.shape[1] for scores in read]).any(0),
    )
