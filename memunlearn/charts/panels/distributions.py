"""Panels of values as points under boxes, and of bars: categories along x, numbers along y."""

from __future__ import annotations

import random
from collections.abc import Sequence

from memunlearn.charts.description import Bars, Distributions, Group, Series
from memunlearn.charts.labels import literal, quoted
from memunlearn.charts.looks import evenly
from memunlearn.charts.marks import DARK, Drawing, Entry, Style, layer, rows_of, said, shown, shown_with_interval, symbols
from memunlearn.charts.numbers import box_of, finite, short, without

BOX, BARS = 0.55, 0.8
"""Of a category's width."""
JITTER = 0.13
"""Wide enough to tell values apart that are the same, narrow enough that groups do not touch."""


def group_entry(group: Group) -> Entry:
    """In the legend."""
    return Entry(label=group.name, colour=group.colour, kind="point", marker=group.marker)


def bar_entry(series: Series, nth: int) -> Entry:
    """In the legend."""
    return Entry(label=series.label, colour=series.colour, kind="bar", nth=nth)


def draw_distributions(panel: Distributions, name: str, entries: Sequence[int | None]) -> Drawing:
    """entries: in the legend, one a group. name: of the panel, unique in the chart."""
    noise = random.Random(0)
    labels = list(dict.fromkeys(group.label for group in panel.groups))
    side_by_side = len(labels) < len(panel.groups)
    names = list(dict.fromkeys(group.name if side_by_side else "" for group in panel.groups))
    share = 1 / max(1, len(names))
    log = logarithmic(panel)
    drawing = Drawing()
    for nth, (group, entry) in enumerate(zip(panel.groups, entries, strict=True)):
        own = group.name if side_by_side else ""
        middle = labels.index(group.label) + (names.index(own) - (len(names) - 1) / 2) * share * BARS
        if (box := box_of(without(group.values, log))) is None:
            continue
        shown_places = evenly([at for at, value in enumerate(group.values) if finite([value])])
        drawn = [group.values[at] for at in shown_places]
        texts = None if group.text is None else [literal(group.text[at]) for at in shown_places]
        jitter = JITTER * (1 if share == 1 else 1.3 * share)
        places = [round(middle + noise.uniform(-jitter, jitter), 3) for _ in drawn]
        title = "datum.text" if texts else quoted(literal(f"{group.label} {own}".strip()))
        tooltip = said(title, [(panel.y_label, shown("y"))])
        points = rows_of(x=places, y=without(drawn, log), text=texts)
        at = {"x": "x", "y": "y"}
        dots = symbols(at, group.colour, group.marker, 20, len(drawn), entry=entry, tooltip=tooltip)
        drawing.add(f"{name}g{nth}", points, dots)
        half = BOX * share / 2
        ends = {end: short(getattr(box, end)) for end in ("low", "first", "median", "third", "high", "mean")}
        row = {"x": middle, "left": middle - half, "right": middle + half, **ends}
        line: Style = {"stroke": group.colour, "strokeWidth": 1.3}
        across = {"x": "left", "x2": "right"}
        quartiles = layer("rect", across | {"y": "first", "y2": "third"}, entry, fill=None, **line)
        whiskers = [layer("rule", {"x": "x", "y": inner, "y2": outer}, entry, **line) for inner, outer in WHISKERS]
        median = layer("rule", across | {"y": "median"}, entry, stroke=DARK, strokeWidth=2)
        layers = [quartiles, *whiskers, median]
        if panel.mean:
            layers.append(layer("rule", across | {"y": "mean"}, entry, stroke=DARK, strokeWidth=1.5, strokeDash=[2, 2]))
        drawing.add(f"{name}b{nth}", [row], *layers)
    return drawing


WHISKERS = (("first", "low"), ("third", "high"))


def logarithmic(panel: Distributions) -> bool:
    """Where it was asked for and there is a positive value."""
    return panel.log_y and any(value > 0 for group in panel.groups for value in finite(group.values))


def draw_bars(panel: Bars, name: str, entries: Sequence[int | None]) -> Drawing:
    """entries: in the legend, one a series. The nth series has n white lines along its bars."""
    drawing = Drawing()
    width = BARS / max(1, len(panel.series))
    known = [literal(category).replace("\n", ", ") for category in panel.categories]
    for nth, (series, entry) in enumerate(zip(panel.series, entries, strict=True)):
        left = [place + (nth - len(panel.series) / 2) * width for place in range(len(known))]
        rows = rows_of(
            left=[round(x + 0.02, 4) for x in left],
            right=[round(x + width - 0.02, 4) for x in left],
            x=[round(x + width / 2, 4) for x in left],
            y=[short(value) for value in series.y],
            low=None if series.low is None else [short(value) for value in series.low],
            high=None if series.high is None else [short(value) for value in series.high],
            category=known,
            zero=[0.0] * len(known),
        )
        for row, x in zip(rows, left, strict=True):
            row.update({f"line{at}": round(x + width * (at + 1) / (nth + 1), 4) for at in range(nth)})
        value = shown_with_interval("y") if series.low is not None else shown("y")
        tooltip = said("datum.category", [(series.label or panel.y_label, value)])
        bar = layer("rect", {"x": "left", "x2": "right", "y": "zero", "y2": "y"}, entry, fill=series.colour, tooltip=tooltip)
        lines = [
            layer("rule", {"x": f"line{at}", "y": "zero", "y2": "y"}, stroke="#ffffff", strokeWidth=1.2, tooltip=None)
            for at in range(nth)
        ]
        layers = [bar, *lines]
        if series.low is not None and series.high is not None:
            layers.append(layer("rule", {"x": "x", "y": "low", "y2": "high"}, stroke=DARK, strokeWidth=1.2))
        drawing.add(f"{name}s{nth}", rows, *layers)
    drawing.add(f"{name}zero", [{"y": 0}], layer("rule", {"y": "y"}, stroke="#444444", strokeWidth=0.8))
    return drawing
