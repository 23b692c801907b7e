"""The paragraphs themselves: token ids, where the prefix ends, and where each row came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memunlearn.errors import UserError
from memunlearn.paragraphs.places import Place

FILL = -1
"""Stands in a prefix that has fewer than P tokens, between what precedes the text and its first token. No model reads it."""


@dataclass(frozen=True)
class ParagraphSet:
    """N paragraphs of I = P + C token ids each.

    ids: [N, I] int64, on the CPU.
    prefix_length: P, tokens that the model is given.
    origin: N strings that name each row's source, such as `forget.pt:17`.
    text_start: how many tokens stand in front of every row's text and are none of it (BOS): part of the prefix, but neither
        perturbed, nor counted, nor compared with other rows.
    places: of N rows that were cut out of texts where each stands in its own (None: not cut out of one); or none at all.

    Raises UserError if ids is not a matrix of integers wider than P, or a negative id is in it that is no FILL of a prefix.
    """

    ids: Tensor
    prefix_length: int
    origin: tuple[str, ...]
    text_start: int = 0
    places: tuple[Place | None, ...] = ()

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ids.dtype != torch.int64:
            raise UserError(
                f"paragraphs must be a matrix [N, I] of int64 token ids, not {list(self.ids.shape)} of {self.ids.dtype}"
            )
        if not 1 <= self.prefix_length < self.ids.shape[1]:
            raise UserError(
                f"a prefix of {self.prefix_length} tokens leaves no continuation in paragraphs of {self.ids.shape[1]} tokens: "
                "set paragraphs.prefix_length and paragraphs.continuation_length"
            )
        if not 0 <= self.text_start <= self.prefix_length:
            raise ValueError(f"{self.text_start} tokens before the text do not fit into a prefix of {self.prefix_length}")
        if len(self.origin) != len(self.ids):
            raise UserError(f"{len(self.ids)} paragraphs came with {len(self.origin)} origins: give one a row")
        if self.places and len(self.places) != len(self.ids):
            raise ValueError(f"{len(self.ids)} paragraphs came with {len(self.places)} places in texts")
        if self.ids.numel() and int(self.ids.min()) < 0:
            wrong = self.ids < 0
            wrong[:, : self.prefix_length - 1] &= self.prefixes[:, :-1] != FILL
            if bool(wrong.any()):
                row, place = wrong.nonzero()[0].tolist()
                raise UserError(f"{self.origin[row]}: token id {int(self.ids[row, place])} is negative: ids must be 0 or more")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def continuation_length(self) -> int:
        """C = I - P."""
        return self.ids.shape[1] - self.prefix_length

    @property
    def prefixes(self) -> Tensor:
        """[N, P]."""
        return self.ids[:, : self.prefix_length]

    @property
    def continuations(self) -> Tensor:
        """[N, C]."""
        return self.ids[:, self.prefix_length :]

    @property
    def text(self) -> Tensor:
        """[N, I - text_start]: the rows without what stands in front of the text."""
        return self.ids[:, self.text_start :]

    @property
    def short(self) -> Tensor:
        """[N] bool: whether the prefix has fewer than P tokens."""
        return (self.prefixes == FILL).any(1)

    @property
    def texts(self) -> tuple[tuple[str, str] | None, ...]:
        """Of N rows the text that each was cut out of: where it was given, and its name."""
        known = (None if place is None else (place.source, place.text) for place in self.places)
        return tuple(known) or (None,) * len(self)

    def place(self, row: int) -> Place | None:
        """Where this row stands in its text."""
        return self.places[row] if self.places else None

    def select(self, rows: Tensor | Sequence[int]) -> ParagraphSet:
        """The rows at these positions (integers, in this order, or a boolean [N])."""
        chosen = torch.as_tensor(rows)
        positions = chosen.nonzero().flatten() if chosen.dtype == torch.bool else chosen.to(torch.int64)
        return replace(
            self,
            ids=self.ids[positions],
            origin=tuple(self.origin[int(i)] for i in positions),
            places=tuple(self.places[int(i)] for i in positions) if self.places else (),
        )

    def with_continuations(self, continuations: Tensor) -> ParagraphSet:
        """The same prefixes followed by other continuations [N, C]: alternatives, or what a model says."""
        return replace(self, ids=torch.cat([self.prefixes, continuations.to(self.ids)], dim=1))

    def check_vocabulary(self, size: int) -> None:
        """Raises UserError if an id is not below the model's vocabulary size V."""
        if self.ids.numel() and int(self.ids.max()) >= size:
            row = int((self.ids >= size).any(1).nonzero()[0])
            raise UserError(
                f"{self.origin[row]}: token id {int(self.ids[row].max())} is beyond the model's vocabulary of {size}: "
                "these paragraphs were tokenized for another model"
            )


def concatenate(sets: Sequence[ParagraphSet]) -> ParagraphSet:
    """One set of all rows, in order; all with the same P and C. What stands before the text is what does so in all sets."""
    return ParagraphSet(
        torch.cat([s.ids for s in sets]),
        sets[0].prefix_length,
        tuple(origin for s in sets for origin in s.origin),
        min(s.text_start for s in sets),
        tuple(place for s in sets for place in s.places or (None,) * len(s)) if any(s.places for s in sets) else (),
    )
