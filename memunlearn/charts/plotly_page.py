"""Charts for the page, as plotly's JSON: the same as the files, with values under the pointer."""

from __future__ import annotations

import random
from typing import Any

from memunlearn.charts.description import Bars, Chart, Distributions, Heat, Lines, Scatter, Series, Value
from memunlearn.charts.layout import literal, nth_axis, plot_layout
from memunlearn.charts.style import MISSING, WHITE, bands, box_of, drawn, points_of, reaches
from memunlearn.results.figure_data import short
from memunlearn.results.figures import JITTER, point_opacity
from memunlearn.results.plots import DASHES, SYMBOLS, Plot

PATTERNS = ("", "/", ".", "x", "-")
WIDE, NARROW = 900, 350
"""Pixels that a figure has on a desk and on a phone."""


def plot(chart: Chart) -> Plot:
    """{"data": traces, "layout": layout, "narrow": layout for a phone: panels below each other}."""
    chart = drawn(chart)
    data: list[dict[str, Any]] = []
    named: set[tuple[str, str]] = set()
    for place, panel in enumerate(chart.panels):
        axes = {"xaxis": nth_axis("x", place), "yaxis": nth_axis("y", place)}
        if isinstance(panel, Heat):
            traces = _heat(panel)
        elif isinstance(panel, Distributions):
            traces = _distributions(panel)
        else:
            traces = _series(panel, named)
        data += [trace | axes for trace in traces]
    columns = max(1, min(chart.columns, len(chart.panels)))
    wide, narrow = plot_layout(chart, columns, WIDE), plot_layout(chart, 1, NARROW)
    for place, key in wide.colour_axes.items():
        data[next(i for i, trace in enumerate(data) if trace["xaxis"] == nth_axis("x", place))]["coloraxis"] = key
    return {"data": data, "layout": wide.layout, "narrow": narrow.layout}


def _series(panel: Lines | Scatter | Bars, named: set[tuple[str, str]]) -> list[dict[str, Any]]:
    traces = []
    for nth, series in enumerate(panel.series):
        entry = (series.label, series.colour)
        together = {
            "name": literal(series.label),
            "legendgroup": literal(f"{series.label} {series.colour}"),
            "showlegend": bool(series.label) and entry not in named,
        }
        named.add(entry)
        if isinstance(panel, Bars):
            traces.append(_bars(panel, series, nth) | together)
            continue
        if isinstance(panel, Lines) and (band := _band(series)):
            traces.append(band | together | {"showlegend": False})
        traces.append(_points(panel, series) | together)
        if isinstance(panel, Scatter) and together["showlegend"]:
            # The legend would be as pale as the points.
            key = {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip"}
            marker = traces[-1]["marker"] | {"opacity": 1}
            traces[-1]["showlegend"] = False
            traces.append(together | key | {"marker": marker})
    return traces


def _points(panel: Lines | Scatter, series: Series) -> dict[str, Any]:
    said = ["%{customdata}"] if series.text else []
    said += [literal(series.label)] if series.label else []
    said += [f"{literal(panel.x_label)}: %{{x:.4~g}}", f"{literal(panel.y_label)}: %{{y:.4~g}}"]
    if series.low is not None and series.high is not None:
        said[-1] += "%{text}"
    symbol = SYMBOLS.get(series.marker, "circle")
    trace: dict[str, Any] = {
        "type": "scatter",
        "x": _short(series.x),
        "y": _short(series.y),
        "cliponaxis": False,
        "hovertemplate": "<br>".join(said) + "<extra></extra>",
    }
    if series.text:
        trace["customdata"] = [literal(text) for text in series.text]
    if series.low is not None and series.high is not None:
        trace["text"] = [_interval(low, high) for low, high in zip(series.low, series.high, strict=True)]
    if isinstance(panel, Lines):
        trace["mode"] = "lines" if series.marker == "none" else "lines+markers"
        trace["line"] = {"color": series.colour, "dash": DASHES[series.dash], "width": 2}
        trace["marker"] = {"symbol": symbol, "size": 6 if len(series.x) <= 25 else 4}
    else:
        trace["mode"] = "markers"
        opacity = point_opacity(series.x) if series.x else 1
        trace["marker"] = {"color": series.colour, "symbol": symbol, "size": 6, "opacity": opacity}
        if (errors := _error_bars(series)) is not None:
            trace["error_y"] = errors | {"color": series.colour}
    return trace


def _band(series: Series) -> dict[str, Any] | None:
    """One outline for each unbroken stretch of the interval."""
    x: list[Value] = []
    y: list[Value] = []
    for places, low, high in bands(series):
        gap: list[Value] = [None] if x else []
        x += [*gap, *_short(places), *_short(places[::-1])]
        y += [*gap, *_short(low), *_short(high[::-1])]
    if not x:
        return None
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "fill": "toself",
        "fillcolor": _faint(series.colour),
        # A stretch of one point has no area: its outline is what is seen.
        "line": {"color": _faint(series.colour), "width": 1},
        "hoverinfo": "skip",
    }


def _bars(panel: Bars, series: Series, nth: int) -> dict[str, Any]:
    with_interval = series.low is not None and series.high is not None
    intervals = [_interval(*pair) for pair in zip(series.low or [], series.high or [], strict=True)] if with_interval else []
    labels = [literal(category) for category in panel.categories]
    pattern = {"shape": PATTERNS[nth % len(PATTERNS)], "fillmode": "overlay", "fgcolor": WHITE, "size": 7}
    trace = {
        "type": "bar",
        "x": list(range(len(labels))),
        "y": _short(series.y),
        "offsetgroup": str(nth),
        "customdata": [list(pair) for pair in zip(labels, intervals or [""] * len(labels), strict=True)],
        "marker": {"color": series.colour, "pattern": pattern},
        "hovertemplate": f"%{{customdata[0]}}<br>{literal(series.label)}<br>%{{y:.4~g}}%{{customdata[1]}}<extra></extra>",
    }
    errors = _error_bars(series)
    return trace if errors is None else trace | {"error_y": errors | {"color": "#222222"}}


def _distributions(panel: Distributions) -> list[dict[str, Any]]:
    noise = random.Random(0)
    traces: list[dict[str, Any]] = []
    for place, group in enumerate(panel.groups):
        points, name = points_of(group), literal(group.label)
        if (box := box_of(group)) is None:
            continue
        marker = {"color": group.colour, "size": 4, "opacity": point_opacity(points)}
        dots = {"x": [round(place + noise.uniform(-JITTER, JITTER), 3) for _ in points], "y": _short(points)}
        hover = {"name": name, "showlegend": False, "hovertemplate": f"{name}<br>%{{y:.4~g}}<extra></extra>"}
        traces.append({"type": "scatter", "mode": "markers", "cliponaxis": False, "marker": marker, **dots, **hover})
        quartiles = {"q1": box.first, "median": box.median, "q3": box.third, "lowerfence": box.low, "upperfence": box.high}
        style = {
            "fillcolor": "rgba(0,0,0,0)",
            "line": {"color": group.colour, "width": 1.5},
            "width": 0.55,
            "hoverinfo": "skip",
        }
        ends = {key: [short(value)] for key, value in quartiles.items()}
        traces.append({"type": "box", "x": [place], "name": name, "showlegend": False, **style, **ends})
    return traces or [{"type": "scatter", "x": [], "y": [], "showlegend": False}]


def _heat(panel: Heat) -> list[dict[str, Any]]:
    unit = literal(panel.unit)
    rows = [f"{literal(panel.row_label)} {literal(row)}" for row in panel.rows]
    columns = [f"{literal(panel.column_label)} {literal(column)}" for column in panel.columns]
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "z": [_short(row) for row in panel.values],
            "text": [[f"{row}, {column}" for column in columns] for row in rows],
            "hoverongaps": False,
            "hovertemplate": f"%{{text}}<br>%{{z:.4~g}} {unit}<extra></extra>",
        }
    ]
    if any(value is None for row in traces[0]["z"] for value in row):
        # Under the cells, so that those without a value differ from zero.
        under = [[0 if value is None else None for value in row] for row in traces[0]["z"]]
        grey = {"colorscale": [[0, MISSING], [1, MISSING]], "showscale": False, "hoverongaps": False}
        traces.append({"type": "heatmap", "z": under, "hovertemplate": "no value<extra></extra>", **grey})
    if panel.marked:
        marker = {"color": "#000000", "size": 6, "line": {"color": WHITE, "width": 0.5}}
        y, x = (list(places) for places in zip(*panel.marked, strict=True))
        traces.append({"type": "scatter", "mode": "markers", "x": x, "y": y, "marker": marker, "hoverinfo": "skip"})
        traces[-1]["showlegend"] = False
    return traces


def _error_bars(series: Series) -> dict[str, Any] | None:
    if (far := reaches(series)) is None:
        return None
    below, above = far
    return {"type": "data", "symmetric": False, "array": _short(above), "arrayminus": _short(below), "thickness": 1, "width": 2}


def _interval(low: Value, high: Value) -> str:
    return "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"


def _short(values: list[Value] | list[float]) -> list[Value]:
    return [short(value) for value in values]
