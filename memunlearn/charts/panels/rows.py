"""Panels of rows below each other along one x axis: means with intervals, and densities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memunlearn.charts.colours import BLUE, VERMILLION
from memunlearn.charts.description import Estimates, Value, Violins
from memunlearn.charts.labels import literal, quoted
from memunlearn.charts.marks import DARK, Drawing, Entry, Style, layer, rows_of, said, shown, shown_with_interval, symbols
from memunlearn.charts.numbers import density, finite, short

HALF = 0.42
"""Of a row's height: the most that a density takes on its side of the row's line."""


def estimate_entries(panel: Estimates) -> list[Entry]:
    """In the legend: the points, and the means."""
    return [
        Entry(label=panel.points_label, colour=BLUE, kind="point"),
        Entry(label=panel.mean_label, colour=VERMILLION, kind="point", marker="D"),
    ]


def violin_entries(panel: Violins) -> list[Entry]:
    """In the legend: what is drawn above, and what below."""
    return [
        Entry(label=panel.above_label, colour=BLUE, kind="bar"),
        Entry(label=panel.below_label, colour=VERMILLION, kind="bar"),
    ]


def draw_estimates(panel: Estimates, name: str, entries: Sequence[int | None]) -> Drawing:
    """entries: of estimate_entries. name: of the panel, unique in the chart."""
    points_entry, mean_entry = entries
    drawing = Drawing()
    drawing.add(f"{name}zero", [{"x": 0}], layer("rule", {"x": "x"}, stroke="#444444", strokeWidth=1))
    places = [(place, value) for place, row in enumerate(panel.rows) for value in finite(row.points)]
    points = rows_of(x=[short(value) for _, value in places], row=[place for place, _ in places])
    at = {"x": "x", "y": "row"}
    label = f"{quoted([literal(row.label) for row in panel.rows])}[datum.row]"
    each = said(label, [(panel.x_label, shown("x"))])
    drawing.add(f"{name}points", points, symbols(at, BLUE, "o", 30, len(points), entry=points_entry, tooltip=each))
    means = [
        {"x": short(row.mean), "row": place, "low": short(row.low), "high": short(row.high)}
        for place, row in enumerate(panel.rows)
    ]
    style: Style = {"stroke": VERMILLION, "strokeWidth": 1.6}
    interval = layer("rule", {"x": "low", "x2": "high", "y": "row"}, mean_entry, **style)
    tooltip = said(label, [(panel.mean_label, shown_with_interval("x"))])
    diamonds = symbols(at, VERMILLION, "D", 70, 1, entry=mean_entry, tooltip=tooltip)
    drawing.add(f"{name}means", means, interval, diamonds)
    return drawing


def draw_violins(panel: Violins, name: str, entries: Sequence[int | None]) -> Drawing:
    """entries: of violin_entries. A sample in which no two values differ is only its mean."""
    drawing = Drawing()
    for place, row in enumerate(panel.rows):
        sides = ((row.above, BLUE, -HALF, panel.above_label), (row.below, VERMILLION, HALF, panel.below_label))
        for (values, colour, far, label), entry in zip(sides, entries, strict=True):
            if not (known := finite(values)):
                continue
            side = f"{name}r{place}{'below' if far > 0 else 'above'}"
            mean = sum(known) / len(known)
            numbers = f"{len(known):,} values, mean {mean:.4g}, {min(known):.4g} to {max(known):.4g}"
            tooltip = said(quoted(literal(row.label)), [(label, quoted(numbers))])
            x, heights = density(known)
            outline = [
                {"x": short(at), "row": place, "edge": short(place + far * height)}
                for at, height in zip(x, heights, strict=True)
            ]
            style: Style = {"fill": colour, "stroke": colour, "strokeWidth": 1, "fillOpacity": 0.35, "tooltip": tooltip}
            drawing.add(side, outline, layer("area", {"x": "x", "y": "row", "y2": "edge"}, entry, **style))
            stroke = [{"x": short(mean), "row": place, "edge": place + far}]
            line = layer("rule", {"x": "x", "y": "row", "y2": "edge"}, entry, stroke=DARK, strokeWidth=1.5, tooltip=tooltip)
            drawing.add(f"{side}mean", stroke, line)
    return drawing


def along_x(panel: Estimates | Violins) -> Iterable[Value]:
    """All that lies along the axis."""
    if isinstance(panel, Violins):
        for violin in panel.rows:
            yield from (*violin.above, *violin.below)
        return
    for row in panel.rows:
        yield from (*row.points, row.mean, row.low, row.high)
