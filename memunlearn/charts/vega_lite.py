"""A chart as a specification of Vega-Lite (https://vega.github.io/vega-lite/docs), which page, PNG and PDF are drawn of.

Texts of the chart reach it as strings, or quoted in its expressions: none is read as markup or as an expression.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.charts.colour_scales import Scale, scales
from memunlearn.charts.description import Bars, Chart, Distributions, Estimates, Heat, Lines, Panel, Scatter, Value, Violins
from memunlearn.charts.labels import (
    SMALL_CHARACTER,
    SMALL_LINE,
    Ticks,
    categories,
    longest_line,
    row_label,
    ticks_across,
    ticks_down,
    wrapped,
)
from memunlearn.charts.legend import legend_entries, legend_view, places_of
from memunlearn.charts.looks import drawn
from memunlearn.charts.marks import Drawing, Row, axis, layer, named_axis
from memunlearn.charts.numbers import finite, reach
from memunlearn.charts.panels import distributions as boxes
from memunlearn.charts.panels import rows as rows_down
from memunlearn.charts.panels import series as series_along
from memunlearn.charts.panels.distributions import draw_bars, draw_distributions
from memunlearn.charts.panels.heat import draw_heat
from memunlearn.charts.panels.rows import draw_estimates, draw_violins
from memunlearn.charts.panels.series import draw_lines, draw_scatter

VEGA_LITE = "6.4"
# Pixels.
BODY, ROW_OF_CELLS, HEAT_AT_LEAST, HEAT_AT_MOST, ROW = 250, 22, 110, 560, 40
BESIDE, COLOUR_BAR, GAP = 62, 104, 14
INK, QUIET = "#1a1a1a", "#e6e6e6"
CONFIG = {
    "background": "#ffffff",
    "padding": 6,
    "font": "sans-serif",
    "aria": False,
    "view": {"stroke": None},
    "title": {"fontSize": 14, "fontWeight": "normal", "anchor": "start", "frame": "group", "offset": 8, "color": INK},
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": QUIET,
        "domainColor": "#888888",
        "tickColor": "#888888",
    },
    "legend": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "titleLimit": 200, "labelColor": INK},
    "text": {"color": INK},
}


@dataclass(frozen=True)
class Figure:
    """spec: without its data. datasets: rows by name, the same for every width."""

    spec: dict[str, Any]
    datasets: dict[str, list[Row]]

    @property
    def whole(self) -> dict[str, Any]:
        """Specification and data in one."""
        return self.spec | {"datasets": self.datasets}


def figure(chart: Chart, columns: int, width: float) -> Figure:
    """So many panels side by side, in about so many pixels."""
    chart = drawn(chart)
    columns = max(1, min(columns, len(chart.panels)))
    entries = legend_entries(chart)
    bars = {place: scale for scale in scales(chart) for place in scale.panels}
    beside = {_bar_place(scale, columns) for scale in bars.values()}
    left, each = _across(chart, columns, width, beside)
    shared = [_shared_domain(chart, panel) for panel in chart.panels]
    views: list[dict[str, Any]] = []
    datasets: dict[str, list[Row]] = {}
    for place, panel in enumerate(chart.panels):
        # One below the other, only a heat map leaves room for a colour bar.
        wide = each + (COLOUR_BAR if columns == 1 and beside and not isinstance(panel, Heat) else 0)
        high = _height(panel)
        drawing = _marks(panel, place, places_of(panel, entries), bars.get(place), place in beside)
        x, y = _axes(panel, wide, high, shared[place])
        if chart.shared and place % columns and panel.kind == chart.panels[place - 1].kind:
            y["axis"]["title"] = None
        encoding = {"x": x, "y": y}
        title = wrapped(panel.title, wide + 20)
        layers = drawing.layers or [{"data": {"values": []}, **layer("point", {"x": "x", "y": "y"})}]
        datasets |= drawing.rows
        views.append({"title": title or "", "width": wide, "height": high, "encoding": encoding, "layer": layers})
    apart = {"scale": {"x": "independent", "y": "independent", "color": "independent"}, "legend": {"color": "independent"}}
    grid = {"concat": views, "columns": columns, "spacing": {"row": 24, "column": GAP}, "resolve": apart}
    stacked = [legend_view(entries, width - left - GAP), grid] if entries else [grid]
    return Figure({"vconcat": stacked, "spacing": 10, "config": CONFIG}, datasets)


def _marks(panel: Panel, place: int, entries: Sequence[int | None], scale: Scale | None, with_bar: bool) -> Drawing:
    name = f"p{place}"
    if isinstance(panel, Heat):
        assert scale is not None
        return draw_heat(panel, name, scale, with_bar, _height(panel))
    if isinstance(panel, Lines):
        return draw_lines(panel, name, entries)
    if isinstance(panel, Scatter):
        return draw_scatter(panel, name, entries)
    if isinstance(panel, Distributions):
        return draw_distributions(panel, name, entries)
    if isinstance(panel, Bars):
        return draw_bars(panel, name, entries)
    return draw_estimates(panel, name, entries) if isinstance(panel, Estimates) else draw_violins(panel, name, entries)


def _axes(panel: Panel, wide: float, high: float, shared: _Domains) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(panel, Heat):
        across = ticks_across(panel.columns, wide, SMALL_CHARACTER)
        x = named_axis(across, wrapped(panel.column_label, wide), _bands(panel.columns), "ordinal")
        y = named_axis(ticks_down(panel.rows, high), wrapped(panel.row_label, high), _bands(panel.rows), "ordinal")
        return x, y
    if isinstance(panel, Estimates | Violins):
        x = axis(wrapped(panel.x_label, wide), reach(rows_down.along_x(panel), with_zero=True))
        places = {"domain": [-0.5, len(panel.rows) - 0.5], "nice": False, "zero": False, "reverse": True}
        return x, named_axis(_row_ticks(panel), [], places, centred=True)
    y = axis(wrapped(panel.y_label, high), *shared.y)
    if isinstance(panel, Lines | Scatter):
        whole = all(value.is_integer() for value in map(float, finite(series_along.values(panel, "x"))))
        return axis(wrapped(panel.x_label, wide), *shared.x, whole), y
    names = categories(panel)
    domain = {"domain": [-0.6, max(len(names), 1) - 0.4], "nice": False, "zero": False}
    return named_axis(ticks_across(names, wide, SMALL_CHARACTER), [], domain), y


@dataclass(frozen=True)
class _Domains:
    """Of each axis: what must be inside, and whether it is logarithmic."""

    x: tuple[tuple[float, float], bool]
    y: tuple[tuple[float, float], bool]


def _shared_domain(chart: Chart, panel: Panel) -> _Domains:
    if isinstance(panel, Heat | Estimates | Violins):
        return _Domains(((0, 1), False), ((0, 1), False))
    log_x, log_y = _logarithmic(panel)
    same_y: list[Panel] = [panel]
    same_x: list[Panel] = [panel]
    if chart.shared:
        others = [one for one in chart.panels if not isinstance(one, Heat | Estimates | Violins)]
        same_y = [one for one in others if _logarithmic(one)[1] == log_y]
        if isinstance(panel, Scatter):
            alike = [one for one in others if isinstance(one, Scatter) and one.x_label == panel.x_label]
            same_x = [one for one in alike if _logarithmic(one)[0] == log_x]
    zero_y = any(isinstance(one, Bars) or (isinstance(one, Lines | Scatter | Distributions) and one.zero) for one in same_y)
    zero_x = any(one.zero_x if isinstance(one, Lines) else isinstance(one, Scatter) and one.zero for one in same_x)
    x = reach((value for one in same_x for value in _along(one, "x")), log_x, zero_x)
    y = reach((value for one in same_y for value in _along(one, "y")), log_y, zero_y)
    return _Domains((x, log_x), (y, log_y))


def _logarithmic(panel: Panel) -> tuple[bool, bool]:
    if isinstance(panel, Lines | Scatter):
        return series_along.logarithmic(panel)
    return False, isinstance(panel, Distributions) and boxes.logarithmic(panel)


def _along(panel: Panel, name: str) -> Iterable[Value]:
    if isinstance(panel, Distributions):
        return [value for group in panel.groups for value in group.values]
    if isinstance(panel, Bars):
        return [value for one in panel.series for side in (one.y, one.low, one.high) for value in side or []]
    return series_along.values(panel, name) if isinstance(panel, Lines | Scatter) else []


def _bands(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "band", "domain": list(range(len(names))), "paddingInner": 0, "paddingOuter": 0}


def _row_ticks(panel: Estimates | Violins) -> Ticks:
    return Ticks(list(range(len(panel.rows))), [row_label(row.label) for row in panel.rows], False)


def _height(panel: Panel) -> float:
    if isinstance(panel, Heat):
        return min(HEAT_AT_MOST, max(HEAT_AT_LEAST, ROW_OF_CELLS * len(panel.rows)))
    if isinstance(panel, Estimates | Violins):
        lines = max((label.count("\n") + 1 for label in _row_ticks(panel).labels), default=1)
        return max(1, len(panel.rows)) * max(ROW, SMALL_LINE * lines + 10)
    return BODY


def _across(chart: Chart, columns: int, width: float, beside: set[int]) -> tuple[float, float]:
    """Pixels left of the first column's panels, and the width of every panel: what is written between them needs room."""
    before = [0.0] * columns
    for place, panel in enumerate(chart.panels):
        room = float(BESIDE)
        if isinstance(panel, Heat):
            room = longest_line(panel.rows) * SMALL_CHARACTER + 34
        elif isinstance(panel, Estimates | Violins):
            room = longest_line(_row_ticks(panel).labels) * SMALL_CHARACTER + 14
        before[place % columns] = max(before[place % columns], min(room, width / columns / 2))
    after = COLOUR_BAR * len({place % columns for place in beside})
    return before[0], round((width - sum(before) - after - GAP * columns) / columns)


def _bar_place(scale: Scale, columns: int) -> int:
    """Which of the scale's panels the colour bar stands beside: the last one of their first row."""
    row = scale.panels[0] // columns
    return max(place for place in scale.panels if place // columns == row)
