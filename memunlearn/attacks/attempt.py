"""One attempt to get forgotten text back, and what it brought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.attacks.material import Target
from memunlearn.scoring.score import score

Settings = Mapping[str, int | float | str]


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempt:
    """What m of the forget rows were after one attempt.

    settings: what varied between the attempts of an attack. rows: [m] int64, numbers of the forget rows that were measured; m
    is 0 where none could be, as the note says. em, longest_run: [m] int64, tokens; nll: [m] fp32, nats per token. counts:
    False where the attempt says nothing about what is left in the model; note: why, or what else a reader must know. extra:
    further numbers. whole: [m] bool, which rows were said to their end, where that is fewer than C tokens; None: EM is C.
    """

    settings: Settings
    rows: Tensor
    em: Tensor
    longest_run: Tensor
    nll: Tensor
    counts: bool = True
    note: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)
    whole: Tensor | None = None

    @property
    def mean_em(self) -> float:
        """Tokens; the attempts of an attack are compared by it."""
        return float(self.em.double().mean())


def nothing_measured(settings: Settings, why: str) -> Attempt:
    """An attempt that could not be made."""
    none = torch.empty(0, dtype=torch.int64)
    return Attempt(settings=settings, rows=none, em=none, longest_run=none, nll=torch.empty(0), counts=False, note=why)


def attempt_with(
    model: PreTrainedModel,
    target: Target,
    settings: Settings,
    *,
    rows: Tensor | None = None,
    counts: bool = True,
    note: str = "",
    extra: Mapping[str, float] | None = None,
) -> Attempt:
    """The attempt that changed the model to this one: scored on forget rows [m] int64, None for all of them.

    The rows are read as they are, prefix and true continuation, in one teacher-forced pass.
    """
    chosen = torch.arange(len(target.forget)) if rows is None else rows
    scores = score(model, target.forget.select(chosen), target.batch_size)
    return Attempt(
        settings=dict(settings),
        rows=chosen,
        em=scores.em,
        longest_run=scores.values["longest_run"],
        nll=scores.nll,
        counts=counts,
        note=note,
        extra=dict(extra or {}),
    )
