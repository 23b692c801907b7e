"""Perturbed twins: the same paragraph with one prefix token replaced, so that the model no longer recites it.

That is: it says no more than C/5 tokens of the continuation in a row (see `scoring.alternatives`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.alternatives import Alternatives


@dataclass(frozen=True, eq=False)
class Twins:
    """n pairs of N paragraphs; row i of everything belongs to row i of the rest (published_code.md, 2).

    original: the paragraphs. perturbed: their twins, one prefix token replaced, the *same* continuation (as input: positions
    line up). rows: [n] int64, which of the N paragraphs these are. intervention: [n] int64, 0..P-1, the position of the
    replaced token. impact: [n] int64, 0..C-1, the continuation token that the perturbed prefix gets wrong first.
    """

    original: ParagraphSet
    perturbed: ParagraphSet
    rows: Tensor
    intervention: Tensor
    impact: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def predicts_impact(self) -> Tensor:
        """[n] int64: the position whose logits predict the impact token, P + impact - 1."""
        return self.original.prefix_length + self.impact - 1


def twins_of(paragraphs: ParagraphSet, alternatives: Alternatives, em: Tensor | None = None) -> Twins:
    """The pairs of those paragraphs that have an alternative and whose EM its perturbation lowers; the others have none.

    alternatives: of exactly these paragraphs. em: [N], their EM without it (None: C, all are memorized). Raises ValueError
    where they are of others, or a perturbation changes nothing.
    """
    if not torch.equal(alternatives.paragraphs.prefixes, paragraphs.prefixes):
        raise ValueError("these alternatives belong to other paragraphs, or stand in another order")
    before = torch.full((len(paragraphs),), paragraphs.continuation_length) if em is None else em
    rows = (alternatives.found & (alternatives.em < before)).nonzero().flatten()
    original, position, token = paragraphs.select(rows), alternatives.position[rows], alternatives.token[rows]
    ids = original.ids.clone()
    ids[torch.arange(len(rows)), position] = token
    if bool((ids == original.ids).all(1).any()):
        raise ValueError("a perturbation puts the token that stands there")
    return Twins(original, replace(original, ids=ids), rows, position, alternatives.em[rows])
