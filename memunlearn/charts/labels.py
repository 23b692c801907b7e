"""Labels that fit, and that are shown as they stand whatever they hold."""

from __future__ import annotations

import itertools
import json
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.charts.colours import POINTS_AT_MOST
from memunlearn.charts.description import Bars, Distributions, Group, Heat
from memunlearn.charts.numbers import finite

# Pixels: a figure's text has 13, what stands at ticks 11.
CHARACTER, SMALL_CHARACTER, LINE, SMALL_LINE = 7.2, 6.4, 18, 14
LONGEST_LABEL = 30
"""Characters of a label that is turned."""
ROW_LABEL = 24
"""Characters of a line of a label beside its row: a phone has room for the drawing, too."""
UNDRAWABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def literal(text: str) -> str:
    """Without what no font and no PDF can show."""
    return UNDRAWABLE.sub("\ufffd", text)


def quoted(text: str | Sequence[str] | Sequence[Sequence[str]]) -> str:
    """A text, or an array of texts, as a literal of Vega's expression language: nothing in it can end the literal."""
    return json.dumps(text, ensure_ascii=True)


def wrapped(text: str, room: float, character: float = CHARACTER) -> list[str]:
    """Lines that fit into so many pixels."""
    return textwrap.wrap(literal(text), max(12, int(room / character)))


@dataclass(frozen=True)
class Ticks:
    """Labels that are written, their places, and whether they are turned."""

    places: list[int]
    labels: list[str]
    turned: bool


def ticks_across(labels: Sequence[str], room: float, character: float) -> Ticks:
    """Labels side by side in `room`, of so wide a `character`.

    Names that do not fit are broken into lines, or else turned; counts are thinned, and so are names where even that fails.
    """
    n = len(labels)
    for tried in (labels, [re.sub(r"(?<=[ _])", "\n", label).rstrip("\n") for label in labels]):
        widths = [longest_line([label]) for label in tried]
        widest_pair = max(map(sum, itertools.pairwise(widths)), default=0) / 2
        if n * (widest_pair + 1) * character <= room:
            return Ticks(list(range(n)), list(tried), False)
    counted = all(label.strip().lstrip("-").isdigit() for label in labels)
    step = step_for(n, room, (longest_line(labels) + 1.5 if counted else 2.2) * character)
    places = list(range(0, n, step))
    return Ticks(places, [_cut(labels[place].replace("\n", ", ")) for place in places], not counted)


def ticks_down(labels: Sequence[str], room: float) -> Ticks:
    """Labels of one line below each other in `room`."""
    step = step_for(len(labels), room, SMALL_LINE)
    places = list(range(0, len(labels), step))
    return Ticks(places, [labels[place] for place in places], False)


def row_label(label: str) -> str:
    """In lines of ROW_LABEL: a line a part, as far as there are parts."""
    parts = label.replace(" - ", " -\n", 1).replace(") (", ")\n(").replace(", ", ",\n").splitlines()
    return "\n".join(line for part in parts for line in textwrap.wrap(part, ROW_LABEL))


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def step_for(n: int, room: float, each: float) -> int:
    """Of 1, 2, 5, 10, 20, ...: the smallest with which n things that take `each` fit in `room`."""
    steps = (int(factor * 10**power) for power in itertools.count() for factor in (1, 2, 5))
    return next(step for step in steps if math.ceil(n / step) * each <= room or step >= n)


def longest_line(labels: Sequence[str]) -> int:
    """Characters."""
    return max((len(line) for label in labels for line in label.splitlines()), default=0)


def categories(panel: Heat | Distributions | Bars) -> list[str]:
    """What stands along the x axis."""
    if isinstance(panel, Heat):
        return panel.columns
    if isinstance(panel, Bars):
        return panel.categories
    labels = list(dict.fromkeys(group.label for group in panel.groups))
    return [_group_label(label, [group for group in panel.groups if group.label == label]) for label in labels]


def _group_label(label: str, groups: Sequence[Group]) -> str:
    """`memorized`, and under it `n = 442`."""
    counts = list(dict.fromkeys(len(finite(group.values)) for group in groups))
    n = " and ".join(f"{count:,}" for count in counts)
    some = f"\n{POINTS_AT_MOST:,}\u00a0drawn" if max(counts) > POINTS_AT_MOST else ""
    return f"{label}\nn\u00a0=\u00a0{n}{some}"
