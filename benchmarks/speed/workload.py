"""A workload: ours and what a user would do instead, on the same rows, and what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.rounds import Way, in_turns
from benchmarks.speed.device import clock, peak_memory
from benchmarks.speed.sizes import Lengths, Size

OURS = "memunlearn"
PRODUCTS = "the matrix products alone"


class AnswersDiffer(RuntimeError):
    """Two ways do not give the same answer: their times say nothing."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a workload is measured on. rows: of a batch (of the step: forget rows, and as many to keep). precision: as in
    Lightning, "32-true" or "bf16-mixed"."""

    size: Size
    lengths: Lengths
    rows: int
    rounds: int
    device: str
    precision: str = "32-true"

    @property
    def autocast(self) -> Callable[[], AbstractContextManager[Any]]:
        """What an alternative runs under, to be in the same precision."""
        if self.precision == "32-true":
            return contextlib.nullcontext
        return lambda: torch.autocast(self.device, torch.bfloat16)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What was measured. rows, tokens: that each way goes through in a turn, 0 where that means nothing.

    seconds: by way, one a round; the first way is ours. parts: they are parts of one whole instead. peak_mib: memory beyond
    what was held before the turn, None: unknown. flops: by way, of the matrix products that it cannot do without. said: what to
    know of it.
    """

    name: str
    title: str
    rows: int
    tokens: int
    seconds: Mapping[str, list[float]]
    peak_mib: Mapping[str, float | None] = field(default_factory=dict)
    flops: Mapping[str, int] = field(default_factory=dict)
    said: str = ""
    parts: bool = False


def measured(
    given: Given,
    ways: Mapping[str, Callable[[], Any]],
    *,
    name: str,
    title: str,
    rows: int,
    tokens: int,
    check: Callable[[Mapping[str, Any]], None] = lambda answers: None,
    flops: Mapping[str, int] | None = None,
    said: str = "",
) -> Workload:
    """The ways in turns. Memory is that of the uncounted round. check: raises AnswersDiffer on what the ways gave, by name."""
    peaks: dict[str, float | None] = {}
    answers: dict[str, Any] = {}

    def watched(way_name: str, way: Callable[[], Any]) -> Way:
        def turn() -> None:
            if way_name in peaks:
                way()
                return
            with peak_memory(given.device) as peak:
                answers[way_name] = way()
            peaks[way_name] = peak.mib

        return turn

    seconds = in_turns({n: watched(n, way) for n, way in ways.items()}, given.rounds, clock(given.device))
    check(answers)
    return Workload(
        name=name, title=title, rows=rows, tokens=tokens, seconds=seconds, peak_mib=peaks, flops=flops or {}, said=said
    )


def same_em(given: Given, names: Sequence[str]) -> Callable[[Mapping[str, Any]], None]:
    """A check that all of these ways give the EM of the first; none in 16 bits, in which near-ties fall differently."""

    def check(answers: Mapping[str, Any]) -> None:
        if given.precision != "32-true":
            return
        (first, em), *others = [(name, answers[name].long().cpu()) for name in names]
        for name, other in others:
            if not torch.equal(em, other):
                raise AnswersDiffer(f"EM differs: {first} {em.tolist()}, {name} {other.tolist()}")

    return check
