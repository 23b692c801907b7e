"""The colour scales of a chart's heat maps."""

from __future__ import annotations

from dataclasses import dataclass

from memunlearn.charts.colours import BLUE, VERMILLION
from memunlearn.charts.description import Chart, Heat
from memunlearn.charts.numbers import finite

MISSING = "#d9d9d9"
"""Of cells without a value: white would read as 0."""
WHITE = "#ffffff"
MAGNITUDES = ("#f7fbff", "#deebf7", "#c6dbef", "#9dcae1", "#6aaed6", "#4191c6", "#2070b4", "#08509b", "#08306b")
DIVERGING = (BLUE, WHITE, VERMILLION)


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
