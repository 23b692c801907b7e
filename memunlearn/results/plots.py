"""A run's figures for its page, as plotly's JSON: the page draws them with values under the pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.charts.colours import BLUE, VERMILLION
from memunlearn.results.figure_data import KL_SERIES, TOKEN_SERIES, MaskGrid, SetPoints, curve_points, mask_grid, set_points

DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
SYMBOLS = {"o": "circle", "^": "triangle-up", "s": "square", "D": "diamond", "v": "triangle-down", "P": "cross"}
GRID = "#e6e6e6"
Plot = dict[str, Any]


def plots(
    result: Mapping[str, Any], curve: Sequence[Mapping[str, float]], paragraphs: Sequence[Mapping[str, Any]]
) -> dict[str, Plot]:
    """{"data": traces, "layout": layout} by the names of `figures.draw`; what the run has no numbers for is left out."""
    points, grid = set_points(paragraphs), mask_grid(result.get("mask"))
    made = {
        "training": _training(curve),
        "em": _before_after(points, "em"),
        "nll": _before_after(points, "nll"),
        "em_nll": _scatter(points),
        "mask": _mask(grid),
    }
    return {name: plot for name, plot in made.items() if plot is not None}


def _training(curve: Sequence[Mapping[str, float]]) -> Plot | None:
    traces = []
    for series in (*TOKEN_SERIES, KL_SERIES):
        points = curve_points(curve, series.key)
        if points:
            steps, values = zip(*points, strict=True)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": series.label,
                    "x": list(steps),
                    "y": [round(value, 6) for value in values],
                    "line": {"color": series.colour, "dash": DASHES[series.line], "width": 2},
                    "marker": {"symbol": SYMBOLS[series.marker], "size": 6},
                    "cliponaxis": False,
                    "yaxis": "y2" if series is KL_SERIES else "y",
                }
            )
    if not traces:
        return None
    layout = layout_style(
        430,
        xaxis=axis_style("training step", anchor="y2"),
        yaxis=axis_style("tokens", domain=[0.44, 1], rangemode="tozero"),
        yaxis2=axis_style("nats per token", domain=[0, 0.36], rangemode="tozero"),
    )
    return {"data": traces, "layout": layout}


def _before_after(points: Sequence[SetPoints], metric: str) -> Plot | None:
    if not points:
        return None
    traces: list[dict[str, Any]] = [
        {
            "type": "box",
            "name": label,
            "legendgroup": label,
            "showlegend": place == 0,
            "x0": one.label.replace("\n", "<br>"),
            "y": [round(value, 3) for value in (one.em if metric == "em" else one.nll)[when]],
            "customdata": one.index,
            "offsetgroup": label,
            "boxpoints": "all",
            "boxmean": True,
            "jitter": 0.7,
            "pointpos": 0,
            "hoveron": "points",
            "fillcolor": "rgba(0,0,0,0)",
            "line": {"color": colour, "width": 1.2},
            "marker": {"color": colour, "size": 4, "opacity": 0.45},
            "hovertemplate": f"{one.name} %{{customdata}}, {label}: %{{y}}<extra></extra>",
        }
        for when, (label, colour) in enumerate((("before", BLUE), ("after", VERMILLION)))
        for place, one in enumerate(points)
    ]
    title = "EM (leading tokens right)" if metric == "em" else "NLL (nats per token)"
    top = max(value for trace in traces for value in trace["y"]) or 1
    axis = axis_style(title, range=[-0.03 * top, 1.05 * top], zeroline=True)
    layout = layout_style(360, boxmode="group", xaxis={"fixedrange": True}, yaxis=axis)
    return {"data": traces, "layout": layout}


def _scatter(points: Sequence[SetPoints]) -> Plot | None:
    if not points:
        return None
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": one.name,
            "legendgroup": one.name,
            "showlegend": when == 0,
            "x": one.em[when],
            "y": [round(value, 3) for value in one.nll[when]],
            "customdata": one.index,
            "xaxis": axis,
            "cliponaxis": False,
            "marker": {"color": one.colour, "symbol": place, "size": 6, "opacity": max(0.3, min(0.7, 40 / len(one.index)))},
            "hovertemplate": f"{one.name} %{{customdata}}, {label}<br>EM %{{x}}, NLL %{{y}}<extra></extra>",
        }
        for when, (label, axis) in enumerate((("before", "x"), ("after", "x2")))
        for place, one in enumerate(points)
    ]
    layout = layout_style(
        360,
        xaxis=axis_style("EM, before", domain=[0, 0.48]),
        xaxis2=axis_style("EM, after", domain=[0.52, 1], matches="x"),
        yaxis=axis_style("NLL (nats per token)", rangemode="tozero"),
    )
    return {"data": traces, "layout": layout}


def _mask(grid: MaskGrid | None) -> Plot | None:
    if grid is None or (shares := grid.shares) is None or grid.sizes is None:
        return None
    counts = zip(grid.counts, grid.sizes, strict=True)
    trace = {
        "type": "heatmap",
        "x": [kind.replace("_", "<br>") for kind in grid.kinds],
        "customdata": [grid.kinds] * len(grid.layers),
        "y": grid.layers,
        "z": shares,
        "text": [[f"{c:,} of {s:,} weights" for c, s in zip(*pair, strict=True)] for pair in counts],
        "colorscale": [[0, "#f3f6fa"], [1, "#0072B2"]],
        "zmin": 0,
        "zmax": max((share for row in shares for share in row if share), default=1),
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"title": {"text": "%"}, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": "layer %{y}, %{customdata}: %{text}, %{z:.3g} %<extra></extra>",
    }
    rows = axis_style("layer", type="category", autorange="reversed")
    columns = {"type": "category", "fixedrange": True, "side": "top", "tickangle": 0}
    margin = {"l": 55, "r": 10, "t": 50, "b": 10}
    return {"data": [trace], "layout": layout_style(80 + 30 * len(grid.layers), xaxis=columns, yaxis=rows, margin=margin)}


def axis_style(title: str, **more: Any) -> dict[str, Any]:
    """An axis of any of the page's figures."""
    # A fixed range leaves a finger on a phone free to scroll the page.
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "fixedrange": True, "automargin": True}
    return {"title": {"text": title}, **axis, **more}


def layout_style(height: int, **more: Any) -> dict[str, Any]:
    """The layout of any of the page's figures. height: in pixels."""
    return {
        "height": height,
        "margin": {"l": 55, "r": 10, "t": 30, "b": 45},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1a1a1a"},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "hovermode": "closest",
        "dragmode": False,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        **more,
    }
