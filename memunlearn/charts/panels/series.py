"""Panels of series along two axes of numbers: lines with bands, and scattered points."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from memunlearn.charts.description import Lines, Scatter, Series, Value
from memunlearn.charts.labels import literal, quoted
from memunlearn.charts.marks import (
    DASHES,
    SHAPES,
    Drawing,
    Entry,
    Layer,
    Style,
    layer,
    rows_of,
    said,
    shown,
    shown_with_interval,
    symbols,
    tint,
)
from memunlearn.charts.numbers import finite, without

FEW = 25
"""Points of a line with markers of full size."""
BAND = 0.18


def entry_of(panel: Lines | Scatter, series: Series) -> Entry:
    """In the legend."""
    kind = "line" if isinstance(panel, Lines) else "point"
    return Entry(label=series.label, colour=series.colour, kind=kind, marker=series.marker, dash=series.dash)


def draw_lines(panel: Lines, name: str, entries: Sequence[int | None]) -> Drawing:
    """entries: in the legend, one a series. name: of the panel, unique in the chart."""
    drawing = Drawing()
    if panel.zero:
        drawing.add(f"{name}zero", [{"y": 0}], layer("rule", {"y": "y"}, stroke="#444444", strokeWidth=0.8))
    log_x, log_y = logarithmic(panel)
    along = {"x": "x", "y": "y"}
    for nth, (series, entry) in enumerate(zip(panel.series, entries, strict=True)):
        rows = _rows(series, log_x, log_y)
        layers: list[Layer] = []
        if series.low is not None and series.high is not None:
            # The stroke is what is seen of a stretch of one point, which has no area.
            edge: Style = {
                "fill": series.colour,
                "stroke": series.colour,
                "strokeWidth": 1,
                "strokeJoin": "round",
                "order": False,
            }
            layers.append(layer("area", {"x": "x", "y": "low", "y2": "high"}, entry, BAND, **edge))
        # `order`: that of the points, not along x: a path may go back.
        width = 1.6 if len(series.x) <= 200 else 1.2
        style: Style = {"stroke": series.colour, "strokeDash": DASHES[series.dash], "strokeWidth": width, "order": False}
        layers.append(layer("line", along, entry, **style))
        tooltip = _said(panel, series)
        if series.marker == "none":
            layers.append(layer("point", along, fill=series.colour, stroke=None, size=60, tooltip=tooltip, opacity=0))
        else:
            size = 32 if len(series.x) <= FEW else 12
            style = {"fill": series.colour, "stroke": None, "shape": SHAPES[series.marker], "size": size}
            layers.append(layer("point", along, entry, **style, tooltip=tooltip))
        drawing.add(f"{name}s{nth}", rows, *layers)
    return drawing


def draw_scatter(panel: Scatter, name: str, entries: Sequence[int | None]) -> Drawing:
    """As draw_lines."""
    drawing = Drawing()
    log_x, log_y = logarithmic(panel)
    for nth, (series, entry) in enumerate(zip(panel.series, entries, strict=True)):
        layers: list[Layer] = []
        if series.low is not None and series.high is not None:
            style: Style = {"stroke": tint(series.colour), "strokeWidth": 1}
            layers.append(layer("rule", {"x": "x", "y": "low", "y2": "high"}, entry, **style))
        crowd = len(series.x)
        tooltip = _said(panel, series)
        layers.append(symbols({"x": "x", "y": "y"}, series.colour, series.marker, 40, crowd, entry=entry, tooltip=tooltip))
        drawing.add(f"{name}s{nth}", _rows(series, log_x, log_y), *layers)
    return drawing


def logarithmic(panel: Lines | Scatter) -> tuple[bool, bool]:
    """Whether x and y are so drawn: where it was asked for and there is a positive value."""
    asked = (("x", panel.log_x), ("y", panel.log_y))
    x, y = (log and any(value > 0 for value in finite(values(panel, name))) for name, log in asked)
    return x, y


def values(panel: Lines | Scatter, name: str) -> Iterable[Value]:
    """All that lies along an axis, x or y, the ends of intervals included."""
    for series in panel.series:
        yield from getattr(series, name)
        if name == "y":
            yield from itertools.chain(series.low or [], series.high or [])


def _rows(series: Series, log_x: bool, log_y: bool) -> list[dict[str, object]]:
    low, high = (None if side is None else without(side, log_y) for side in (series.low, series.high))
    if low is not None and high is not None:
        both = [None not in pair for pair in zip(low, high, strict=True)]
        low, high = ([value if known else None for value, known in zip(side, both, strict=True)] for side in (low, high))
    else:
        low = high = None
    text = None if series.text is None else [literal(one) for one in series.text]
    return rows_of(x=without(series.x, log_x), y=without(series.y, log_y), low=low, high=high, text=text)


def _said(panel: Lines | Scatter, series: Series) -> dict[str, str]:
    title = "datum.text" if series.text else quoted(literal(series.label))
    lines = [("series", quoted(literal(series.label)))] if series.text and series.label else []
    y = shown_with_interval("y") if series.low is not None else shown("y")
    return said(title, [*lines, (panel.x_label, shown("x")), (panel.y_label, y)])
