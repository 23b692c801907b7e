"""One legend a chart: each series once, with its colour, marker, dash or stripes; a click on one makes the others pale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from memunlearn.charts.description import Bars, Chart, Distributions, Estimates, Lines, Panel, Scatter, Violins
from memunlearn.charts.labels import CHARACTER, wrapped
from memunlearn.charts.marks import CHOSEN, DASHES, ENTRY, SHAPES, Entry, Layer, layer
from memunlearn.charts.panels.distributions import bar_entry, group_entry
from memunlearn.charts.panels.rows import estimate_entries, violin_entries
from memunlearn.charts.panels.series import entry_of

SAMPLE, LABEL, BESIDE, LINE = 24, 30, 22, 20
"""Pixels of a sample, from its start to that of its label, between two entries, and of a line."""


def panel_entries(panel: Panel) -> list[Entry]:
    """One a series or group of the panel; those without a label do not stand in the legend."""
    if isinstance(panel, Lines | Scatter):
        return [entry_of(panel, series) for series in panel.series]
    if isinstance(panel, Bars):
        return [bar_entry(series, nth) for nth, series in enumerate(panel.series)]
    if isinstance(panel, Distributions):
        return [group_entry(group) for group in panel.groups]
    if isinstance(panel, Estimates):
        return estimate_entries(panel)
    return violin_entries(panel) if isinstance(panel, Violins) else []


def legend_entries(chart: Chart) -> list[Entry]:
    """Over all panels, one a label and colour."""
    found: dict[tuple[str, str], Entry] = {}
    for panel in chart.panels:
        for entry in panel_entries(panel):
            if entry.label:
                found.setdefault((entry.label, entry.colour), entry)
    return list(found.values())


def places_of(panel: Panel, entries: list[Entry]) -> list[int | None]:
    """Of each series of the panel, its place in the legend."""
    known = {(entry.label, entry.colour): place for place, entry in enumerate(entries)}
    return [known.get((entry.label, entry.colour)) for entry in panel_entries(panel)]


def legend_view(entries: list[Entry], width: float) -> dict[str, Any]:
    """So wide in pixels, and as high as it needs; labels that are wider are broken."""
    layers: list[Layer] = []
    boxes = list(_flow(entries, width))
    for nth, (entry, box) in enumerate(zip(entries, boxes, strict=True)):
        x, y = box.x, box.y + LINE / 2
        layers += [{"data": {"values": [{}]}, **one} for one in _sample(entry, nth, x, y)]
        place = {"x": x + LABEL, "y": y, "align": "left", "baseline": "middle", "lineHeight": LINE}
        text = {"type": "text", "text": box.lines, "fontSize": 13, **place}
        layers.append({"data": {"values": [{}]}, "mark": text})
    layers.append(_clickable(boxes))
    height = max(box.y + box.height for box in boxes)
    return {"width": width, "height": height, "layer": layers, "view": {"stroke": None}}


@dataclass(frozen=True)
class _Box:
    """Where an entry stands: its left and upper edge in pixels, and the lines of its label."""

    x: float
    y: float
    lines: list[str]

    @property
    def width(self) -> float:
        return LABEL + CHARACTER * max(map(len, self.lines))

    @property
    def height(self) -> float:
        return LINE * len(self.lines)


def _flow(entries: list[Entry], width: float) -> Iterator[_Box]:
    """Side by side, in as many rows as they need."""
    x, y, below = 0.0, 0.0, 0.0
    for entry in entries:
        box = _Box(x, y, wrapped(entry.label, width - LABEL) or [""])
        if x > 0 and x + box.width > width:
            x, y = 0.0, below
            box = replace(box, x=x, y=y)
        yield box
        x += box.width + BESIDE
        below = max(below, y + box.height)


def _rule(nth: int | None, places: dict[str, float], **style: Any) -> Layer:
    """places: of its ends in pixels, by channel."""
    rule = layer("rule", {}, nth, **style)
    rule["encoding"] |= {channel: {"value": place} for channel, place in places.items()}
    return rule


def _sample(entry: Entry, nth: int, x: float, y: float) -> Iterator[Layer]:
    middle = x + SAMPLE / 2
    if entry.kind == "bar":
        high = {"y": y - 6, "y2": y + 6}
        yield layer("rect", {}, nth, x=x + 4, x2=x + SAMPLE - 2, fill=entry.colour, **high)
        for at in range(entry.nth):
            line = x + 4 + (SAMPLE - 6) * (at + 1) / (entry.nth + 1)
            yield _rule(None, {"x": line, **high}, stroke="#ffffff", strokeWidth=1.2)
        return
    if entry.kind == "line":
        style = {"stroke": entry.colour, "strokeDash": DASHES[entry.dash], "strokeWidth": 1.8}
        yield _rule(nth, {"x": x, "x2": x + SAMPLE, "y": y}, **style)
    if entry.kind == "point" or entry.marker != "none":
        yield layer("point", {}, nth, x=middle, y=y, fill=entry.colour, stroke=None, shape=SHAPES[entry.marker], size=45)


def _clickable(boxes: list[_Box]) -> Layer:
    rows = [
        {"x": box.x, "right": box.x + box.width, "y": box.y, "bottom": box.y + box.height, ENTRY: nth}
        for nth, box in enumerate(boxes)
    ]
    names = {"x": "x", "x2": "right", "y": "y", "y2": "bottom"}
    encoding: dict[str, Any] = {channel: {"field": name} for channel, name in names.items()}
    for channel in ("x", "y"):
        encoding[channel] |= {"type": "quantitative", "scale": None, "axis": None}
    selection = {"type": "point", "fields": [ENTRY], "toggle": "true"}
    return {
        "data": {"values": rows},
        "params": [{"name": CHOSEN, "select": selection}],
        "mark": {"type": "rect", "fill": "#ffffff", "opacity": 0, "cursor": "pointer"},
        "encoding": encoding,
    }
