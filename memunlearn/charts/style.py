"""What both drawings of a chart share: looks of series, colour scales, boxes, and labels that fit."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from memunlearn.charts.colours import BLUE, GREEN, GREY, ORANGE, POINTS_AT_MOST, PURPLE, SKY, VERMILLION
from memunlearn.charts.description import Bars, Chart, Distributions, Group, Heat, Lines, Scatter, Series, Value

# A marker and a dash for each colour: who does not see the colours tells memorized from non-memorized in every figure.
LOOKS: dict[str, tuple[Literal["o", "^", "s", "D"], Literal["-", "--", "-.", ":"]]] = {
    VERMILLION: ("o", "-"),
    BLUE: ("^", "--"),
    GREEN: ("o", "-"),
    PURPLE: ("^", "--"),
    ORANGE: ("s", ":"),
    SKY: ("D", "-."),
    GREY: ("s", ":"),
}
MISSING = "#d9d9d9"
"""Of a heat map's cells without a value: white would read as 0."""
WHITE = "#ffffff"
MAGNITUDES = ("#f7fbff", "#deebf7", "#c6dbef", "#9dcae1", "#6aaed6", "#4191c6", "#2070b4", "#08509b", "#08306b")
DIVERGING = (BLUE, WHITE, VERMILLION)
WHISKER = 1.5
LONGEST_LABEL = 30
"""Characters of a label that is turned."""


def drawn(chart: Chart) -> Chart:
    """The chart with series that differ in more than colour, and with at most POINTS_AT_MOST points a scattered series.

    Where the analysis left all markers and dashes as they are by default, LOOKS decides; where it chose some, markers still
    tell colours apart, if that makes no two series of a colour alike.
    """
    chosen = [
        (one.colour, one.marker, one.dash if isinstance(panel, Lines) else "")
        for panel in chart.panels
        if isinstance(panel, Lines | Scatter)
        for one in panel.series
    ]
    by_default = all(marker in ("o", "none") and dash in ("-", "") for _, marker, dash in chosen)
    by_colour = {(colour, LOOKS[colour][0] if colour in LOOKS else marker, dash) for colour, marker, dash in chosen}
    keep = len({look[1:] for look in chosen}) == len(set(chosen)) or len(by_colour) < len(set(chosen))

    def told_apart(one: Series) -> Series:
        if one.colour not in LOOKS or (not by_default and keep):
            return one
        marker, dash = LOOKS[one.colour]
        return dataclasses.replace(
            one, marker=one.marker if one.marker == "none" else marker, dash=dash if by_default else one.dash
        )

    panels = []
    for panel in chart.panels:
        if isinstance(panel, Lines):
            panel = dataclasses.replace(panel, series=tuple(map(told_apart, panel.series)))
        elif isinstance(panel, Scatter):
            panel = dataclasses.replace(panel, series=tuple(thinned(told_apart(one)) for one in panel.series))
        panels.append(panel)
    return dataclasses.replace(chart, panels=tuple(panels))


def thinned(series: Series) -> Series:
    """The same, or POINTS_AT_MOST of its points, evenly: its label then says so. More only hide each other."""
    n = len(series.x)
    if n <= POINTS_AT_MOST:
        return series
    kept = [i * n // POINTS_AT_MOST for i in range(POINTS_AT_MOST)]

    def some(values):
        return None if values is None else [values[i] for i in kept]

    return dataclasses.replace(
        series,
        label=f"{series.label} ({POINTS_AT_MOST:,} of {n:,} drawn)",
        **{name: some(getattr(series, name)) for name in ("x", "y", "low", "high", "text")},
    )


def points_of(group: Group) -> list[float]:
    """Values of a group that are drawn as points: all, or POINTS_AT_MOST of them, evenly."""
    values = finite(group.values)
    count = min(len(values), POINTS_AT_MOST)
    return [values[i * len(values) // count] for i in range(count)]


def group_label(group: Group) -> str:
    """`memorized`, and under it `n = 442`."""
    n = len(finite(group.values))
    some = f"\n{POINTS_AT_MOST:,}\u00a0drawn" if n > POINTS_AT_MOST else ""
    return f"{group.label}\nn\u00a0=\u00a0{n:,}{some}"


@dataclass(frozen=True)
class Box:
    """Quartiles, and the outermost values within 1.5 interquartile ranges of them."""

    low: float
    first: float
    median: float
    third: float
    high: float


def box_of(group: Group) -> Box | None:
    """Of all its finite values; None where there are none."""
    values = np.asarray(finite(group.values))
    if not len(values):
        return None
    first, median, third = np.percentile(values, [25, 50, 75])
    reach = WHISKER * (third - first)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    return Box(*map(float, (inside.min(), first, median, third, inside.max())))


@dataclass(frozen=True)
class Scale:
    """The colour scale of the heat maps at these places among the chart's panels."""

    panels: tuple[int, ...]
    low: float
    high: float
    unit: str
    diverging: bool

    @property
    def colours(self) -> tuple[str, ...]:
        """Evenly from low to high."""
        return DIVERGING if self.diverging else MAGNITUDES


def scales(chart: Chart) -> list[Scale]:
    """One a heat map, or one for all of the same unit where the chart's scale is shared. Diverging ones are centred at 0.

    A scale of magnitudes starts at 0, unless all values lie in its upper half.
    """
    together: dict[tuple[object, ...], list[int]] = {}
    for place, panel in enumerate(chart.panels):
        if isinstance(panel, Heat):
            key = (panel.unit, panel.diverging) if chart.shared else (place,)
            together.setdefault(key, []).append(place)
    made = []
    for places in together.values():
        heats = [panel for place in places if isinstance(panel := chart.panels[place], Heat)]
        values = finite(value for heat in heats for row in heat.values for value in row)
        low, high = (min(values), max(values)) if values else (0.0, 0.0)
        if heats[0].diverging:
            high = max(abs(low), abs(high)) or 1.0
            low = -high
        elif 0 <= low <= high / 2:
            low = 0.0
        if low == high:
            low, high = (min(0.0, low), max(0.0, high)) if low else (0.0, 1.0)
        made.append(Scale(tuple(places), low, high, heats[0].unit, heats[0].diverging))
    return made


def bands(series: Series) -> Iterator[tuple[list[float], list[float], list[float]]]:
    """x, low and high of each unbroken stretch of the series' interval."""
    if series.low is None or series.high is None:
        return
    rows = zip(series.x, series.low, series.high, strict=True)
    for known, stretch in itertools.groupby(rows, key=lambda row: len(finite(row)) == 3):
        if known:
            x, low, high = zip(*stretch, strict=True)
            yield list(x), list(low), list(high)


def reaches(series: Series) -> tuple[list[Value], list[Value]] | None:
    """How far the interval goes below and above each y: never negative, None where there is none."""
    if series.low is None or series.high is None:
        return None
    rows = list(zip(series.low, series.y, series.high, strict=True))
    known = [len(finite(row)) == 3 for row in rows]
    below = [max(0.0, y - low) if all_there else None for (low, y, _), all_there in zip(rows, known, strict=True)]  # type: ignore[operator]
    above = [max(0.0, high - y) if all_there else None for (_, y, high), all_there in zip(rows, known, strict=True)]  # type: ignore[operator]
    return below, above


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


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def step_for(n: int, room: float, each: float) -> int:
    """Of 1, 2, 5, 10, 20, ...: the smallest with which n things that take `each` fit in `room`."""
    steps = (factor * 10**power for power in itertools.count() for factor in (1, 2, 5))
    return next(step for step in steps if math.ceil(n / step) * each <= room or step >= n)


def longest_line(labels: Sequence[str]) -> int:
    """Characters."""
    return max((len(line) for label in labels for line in label.splitlines()), default=0)


def categories(panel: Heat | Distributions | Bars) -> list[str]:
    """What stands along the x axis."""
    if isinstance(panel, Heat):
        return panel.columns
    return panel.categories if isinstance(panel, Bars) else [group_label(group) for group in panel.groups]


def finite(values) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
