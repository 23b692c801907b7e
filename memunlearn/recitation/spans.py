"""Recited spans of a text: where continuations that a model recites lie next to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Span:
    """Tokens of a text from `start` to `end` (not included) that a model recites: every one lies in a recited continuation.

    starts: where recited continuations of this span begin, rising.
    """

    start: int
    end: int
    starts: tuple[int, ...]

    def __len__(self) -> int:
        return self.end - self.start


def recited_spans(starts: Sequence[int], em: Sequence[int], least: int) -> list[Span]:
    """The union of the continuations that are recited, in order. starts, em: of the windows that were scored, in any order.

    A continuation of EM tokens counts if EM >= least, and as far as it goes. Spans that touch or overlap are one.
    """
    recited = sorted((start, start + right) for start, right in zip(starts, em, strict=True) if right >= least)
    spans: list[list[int]] = []
    members: list[list[int]] = []
    for start, end in recited:
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
            members[-1].append(start)
        else:
            spans.append([start, end])
            members.append([start])
    return [Span(start=s, end=e, starts=tuple(of)) for (s, e), of in zip(spans, members, strict=True)]


def spread(starts: Sequence[int], step: int) -> list[int]:
    """Of rising starts the first, then always the last within `step` of the one before it (the next, where none is), up to the
    last. So with a step of C the continuations that begin there cover what all of a span's cover.
    """
    if not starts:
        return []
    chosen, places = [starts[0]], np.asarray(starts)
    while chosen[-1] != places[-1]:
        after = int(np.searchsorted(places, chosen[-1] + step, side="right")) - 1
        here = int(np.searchsorted(places, chosen[-1]))
        chosen.append(int(places[max(after, here + 1)]))
    return chosen
