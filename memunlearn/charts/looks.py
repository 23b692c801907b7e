"""What tells series apart beside their colours, and how many of many points are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from memunlearn.charts.colours import BLUE, GREEN, GREY, ORANGE, POINTS_AT_MOST, PURPLE, SKY, VERMILLION
from memunlearn.charts.description import Chart, Lines, Marker, Scatter, Series

Item = TypeVar("Item")

# A marker and a dash for each colour: who does not see the colours tells memorized from non-memorized in every figure.
LOOKS: dict[str, tuple[Marker, Literal["-", "--", "-.", ":"]]] = {
    VERMILLION: ("o", "-"),
    BLUE: ("^", "--"),
    GREEN: ("o", "-"),
    PURPLE: ("^", "--"),
    ORANGE: ("s", ":"),
    SKY: ("D", "-."),
    GREY: ("s", ":"),
}


def drawn(chart: Chart) -> Chart:
    """The chart with series that differ in more than colour, and with at most POINTS_AT_MOST points a scattered series.

    Where the description left all markers and dashes as they are by default, LOOKS decides; where it chose some, LOOKS
    decides the markers only if more series then differ: first in anything, then in more than colour.
    """
    chosen = [
        (series.colour, series.marker, series.dash if isinstance(panel, Lines) else "")
        for panel in chart.panels
        if isinstance(panel, Lines | Scatter)
        for series in panel.series
    ]
    by_default = all(marker in ("o", "none") and dash in ("-", "") for _, marker, dash in chosen)
    by_colour = [(colour, _marker(colour, marker), dash) for colour, marker, dash in chosen]
    keep = _told_apart(chosen) >= _told_apart(by_colour)

    def told_apart(series: Series) -> Series:
        if series.colour not in LOOKS or (not by_default and keep):
            return series
        dash = LOOKS[series.colour][1] if by_default else series.dash
        return dataclasses.replace(series, marker=_marker(series.colour, series.marker), dash=dash)

    panels = []
    for panel in chart.panels:
        if isinstance(panel, Lines):
            panel = dataclasses.replace(panel, series=tuple(map(told_apart, panel.series)))
        elif isinstance(panel, Scatter):
            panel = dataclasses.replace(panel, series=tuple(thinned(told_apart(series)) for series in panel.series))
        panels.append(panel)
    return dataclasses.replace(chart, panels=tuple(panels))


def _marker(colour: str, marker: Marker) -> Marker:
    return marker if marker == "none" or colour not in LOOKS else LOOKS[colour][0]


def _told_apart(looks: Sequence[tuple[str, str, str]]) -> tuple[int, int]:
    """How many there are of (colour, marker, dash), and how many without colours."""
    return len(set(looks)), len({look[1:] for look in looks})


def thinned(series: Series) -> Series:
    """The same, or POINTS_AT_MOST of its points, evenly: its label then says so."""
    n = len(series.x)
    if n <= POINTS_AT_MOST:
        return series
    lists = {name: getattr(series, name) for name in ("x", "y", "low", "high", "text")}
    some: dict[str, Any] = {name: None if values is None else evenly(values) for name, values in lists.items()}
    return dataclasses.replace(series, label=f"{series.label} ({POINTS_AT_MOST:,} of {n:,} drawn)", **some)


def evenly(items: list[Item], at_most: int = POINTS_AT_MOST) -> list[Item]:
    """All, or so many of them, evenly from the first on."""
    n = len(items)
    count = min(n, at_most)
    return [items[place * n // count] for place in range(count)]
