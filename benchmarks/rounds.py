"""Ways of doing the same thing, timed in turns; and what is made of their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Way = Callable[[], object]
Clock = Callable[[], float]
"""Seconds, once all that was asked of the device is done."""


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, the least and the most."""

    middle: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(median(values), min(values), max(values))


def in_turns(
    ways: Mapping[str, Way], rounds: int, clock: Clock = time.perf_counter, uncounted: int = 1
) -> dict[str, list[float]]:
    """Seconds of each way in each round: the ways take turns, so that what slows the machine slows all of them.

    uncounted: rounds that come first: what is made once (kernels, caches) is no part of any way.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(uncounted + rounds):
        for name, way in ways.items():
            started = clock()
            way()
            took = clock() - started
            if number >= uncounted:
                seconds[name].append(took)
    return seconds


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """over / under, round by round: both were measured under the same load, which a ratio of medians would forget."""
    return [one / other for one, other in zip(over, under, strict=True)]
