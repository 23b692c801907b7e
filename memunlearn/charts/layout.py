"""Where the panels of a chart stand in its plotly figure: axes, titles, legend and colour bars, in pixels."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.charts.description import Bars, Chart, Distributions, Heat, Lines, Panel, Scatter
from memunlearn.charts.style import Scale, Ticks, categories, longest_line, scales, step_for, ticks_across
from memunlearn.results.plots import axis_style, layout_style

# Pixels.
CHARACTER, SMALL_CHARACTER, LINE = 7.2, 6.4, 18
BODY, ROW_OF_CELLS, HEAT_AT_LEAST, HEAT_AT_MOST = 270, 22, 110, 560
BESIDE, COLOUR_BAR = 44, 92
SMALL, LABEL = {"size": 11}, {"size": 13}


@dataclass(frozen=True)
class PlotLayout:
    """layout: plotly's. colour_axes: by a heat map's place among the panels, the key of its colour axis."""

    layout: dict[str, Any]
    colour_axes: dict[int, str]


def plot_layout(chart: Chart, columns: int, width: int) -> PlotLayout:
    """So many panels side by side, in about `width` pixels: it stretches, but what is written is meant for this width."""
    colour_scales = scales(chart)
    rows = [range(start, min(start + columns, len(chart.panels))) for start in range(0, len(chart.panels), columns)]
    across = _across(chart, columns, width, colour_scales)
    inside = [right - left for left, right in across]
    ticks = [_ticks(panel, inside[place % columns]) for place, panel in enumerate(chart.panels)]
    titles = [_broken(panel.title, inside[place % columns] + 20, CHARACTER) for place, panel in enumerate(chart.panels)]
    legend = _legend_height(chart, width)

    edges: list[tuple[float, float]] = []
    y = float(legend)
    for row in rows:
        y += LINE * max(titles[place].count("<br>") + 1 for place in row) + 8
        bottom = y + max(_body(chart.panels[place]) for place in row)
        edges += [(y, bottom) for _ in row]
        y = bottom + max(_under(chart.panels[place], ticks[place]) for place in row)
    top, height = edges[0][0], edges[-1][1] - edges[0][0]
    left, right = across[0][0], across[-1][1]

    layout = layout_style(round(y), barmode="group", bargap=0.2, hoverlabel={"align": "left"})
    layout["margin"] = {"l": round(left), "r": round(width - right), "t": round(top), "b": round(y - edges[-1][1]), "pad": 0}
    layout["legend"] = {"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 0, "xref": "container"}
    layout["annotations"] = []
    shared: dict[bool, int] = {}
    for place, panel in enumerate(chart.panels):
        low, high = across[place % columns]
        upper, lower = edges[place]
        domains = (
            [(low - left) / (right - left), (high - left) / (right - left)],
            [1 - (lower - top) / height, 1 - (upper - top) / height],
        )
        x_axis, y_axis = _axes(panel, ticks[place], domains, lower - upper)
        x_axis["anchor"], y_axis["anchor"] = nth_axis("y", place), nth_axis("x", place)
        if chart.shared and not isinstance(panel, Heat):
            first = shared.setdefault(y_axis.get("type") == "log", place)
            if first != place:
                y_axis["matches"] = nth_axis("y", first)
        if chart.shared and place % columns and panel.kind == chart.panels[place - 1].kind:
            y_axis["title"] = {"text": ""}
        layout[nth_axis("xaxis", place)], layout[nth_axis("yaxis", place)] = x_axis, y_axis
        layout["annotations"].append(_title(titles[place], domains))
    keys: dict[int, str] = {}
    for nth, scale in enumerate(colour_scales):
        # One that is shared stands beside all of its maps.
        last = len(scale.panels) > 1
        end = right if last else across[scale.panels[0] % columns][1]
        upper, lower = edges[scale.panels[0]][0], edges[scale.panels[-1]][1]
        middle = 1 - ((upper + lower) / 2 - top) / height
        layout[nth_axis("coloraxis", nth)] = _colour_axis(scale, (end - left) / (right - left), middle, min(lower - upper, 400))
        keys |= {place: nth_axis("coloraxis", nth) for place in scale.panels}
    return PlotLayout(layout, keys)


def _across(chart: Chart, columns: int, width: int, colour_scales: Sequence[Scale]) -> list[tuple[float, float]]:
    """Left and right edge of each column's panels, in pixels."""
    before, after = [0.0] * columns, [14.0] * columns
    for place, panel in enumerate(chart.panels):
        labels = longest_line(panel.rows) * SMALL_CHARACTER + 34 if isinstance(panel, Heat) else BESIDE + 20
        before[place % columns] = max(before[place % columns], min(labels, width / columns / 3))
    for scale in colour_scales:
        column = columns - 1 if len(scale.panels) > 1 else scale.panels[0] % columns
        after[column] = COLOUR_BAR
    each = (width - sum(before) - sum(after)) / columns
    edges, x = [], 0.0
    for column in range(columns):
        x += before[column]
        edges.append((x, x + each))
        x += each + after[column]
    return edges


def _axes(panel: Panel, ticks: Ticks | None, domains: Any, height: float) -> tuple[dict[str, Any], dict[str, Any]]:
    common = {"zeroline": False, "exponentformat": "e", "ticklabeloverflow": "allow"}
    x: dict[str, Any] = axis_style("", domain=domains[0], **common)
    y: dict[str, Any] = axis_style("", domain=domains[1], **common)
    y_label = panel.row_label if isinstance(panel, Heat) else panel.y_label
    y["title"] = {"text": _broken(y_label, height, CHARACTER), "standoff": 6, "font": LABEL}
    if isinstance(panel, Heat):
        step = step_for(len(panel.rows), height, 15)
        y |= {"tickvals": list(range(0, len(panel.rows), step)), "ticktext": [literal(row) for row in panel.rows[::step]]}
        y |= {"range": [len(panel.rows) - 0.5, -0.5], "showgrid": False, "tickfont": SMALL}
        x |= {"range": [-0.5, len(panel.columns) - 0.5], "showgrid": False}
    if isinstance(panel, Heat | Lines | Scatter):
        x["title"] = {
            "text": literal(panel.column_label if isinstance(panel, Heat) else panel.x_label),
            "standoff": 6,
            "font": LABEL,
        }
    if ticks is not None:
        x |= {"tickvals": ticks.places, "ticktext": [literal(label) for label in ticks.labels], "tickfont": SMALL}
        x["tickangle"] = -45 if ticks.turned else 0
    if isinstance(panel, Bars | Distributions):
        x |= {"range": [-0.6, len(categories(panel)) - 0.4], "showgrid": False}
    if isinstance(panel, Bars) or (isinstance(panel, Lines) and panel.zero):
        y |= {"zeroline": True, "zerolinecolor": "#444444"}
        y["rangemode"] = "tozero"
    for axis, log in ((x, getattr(panel, "log_x", False)), (y, getattr(panel, "log_y", False))):
        if log:
            axis |= {"type": "log", "exponentformat": "power", "dtick": 1}
    return x, y


def _title(text: str, domains: Any) -> dict[str, Any]:
    (low, _), (_, high) = domains
    placed = {"x": low, "y": high, "xanchor": "left", "yanchor": "bottom", "xref": "paper", "yref": "paper", "yshift": 4}
    return {"text": text, "align": "left", "showarrow": False, "font": {"size": 14}, **placed}


def _colour_axis(scale: Scale, x: float, y: float, length: float) -> dict[str, Any]:
    steps = len(scale.colours) - 1
    # An empty line first: plotly does not make room for long numbers between bar and title.
    title = {"text": "&nbsp;<br>" + _broken(scale.unit, length, SMALL_CHARACTER), "side": "right", "font": {"size": 12}}
    bar = {"x": x, "y": y, "len": length, "lenmode": "pixels", "xanchor": "left", "xpad": 8, "ypad": 0, "thickness": 11}
    return {
        "cmin": scale.low,
        "cmax": scale.high,
        "colorscale": [[nth / steps, colour] for nth, colour in enumerate(scale.colours)],
        "colorbar": {"title": title, "outlinewidth": 0, "tickfont": SMALL, "nticks": 7, "exponentformat": "e", **bar},
    }


def _ticks(panel: Panel, room: float) -> Ticks | None:
    return None if isinstance(panel, Lines | Scatter) else ticks_across(categories(panel), room, SMALL_CHARACTER)


def _body(panel: Panel) -> float:
    if isinstance(panel, Heat):
        return min(HEAT_AT_MOST, max(HEAT_AT_LEAST, ROW_OF_CELLS * len(panel.rows)))
    return BODY


def _under(panel: Panel, ticks: Ticks | None) -> float:
    """Tick labels and the axis' title, down to the next panel."""
    below = LINE + 6 if isinstance(panel, Heat) else 0
    if ticks is None:
        return 2 * LINE + 24
    if ticks.turned:
        return 0.75 * SMALL_CHARACTER * longest_line(ticks.labels) + below + 28
    return 15 * max((label.count("\n") + 1 for label in ticks.labels), default=1) + below + 20


def _legend_height(chart: Chart, width: int) -> float:
    panels = [panel for panel in chart.panels if isinstance(panel, Lines | Scatter | Bars)]
    labels = {series.label for panel in panels for series in panel.series if series.label}
    if not labels:
        return 6
    # As plotly does it: all entries as wide as the widest, as many in a line as fit.
    across = max(1, int(width / (longest_line(list(labels)) * CHARACTER + 48)))
    return 25 * math.ceil(len(labels) / across) + 12


def _broken(text: str, room: float, character: float) -> str:
    return "<br>".join(literal(line) for line in textwrap.wrap(text, max(12, int(room / character))))


def nth_axis(name: str, place: int) -> str:
    """As plotly counts: `x`, `x2`, `x3`."""
    return f"{name}{place + 1}" if place else name


def literal(text: str) -> str:
    """Shown as it stands: plotly reads tags, entities and, under the pointer, `%{names}`."""
    return html.escape(text, quote=False).replace("%{", "%&#123;").replace("\n", "<br>")
