"""The sweep's figures as Plotly's JSON: traces and layouts as plain dicts, drawn by plotly.js in the page."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.results.figure_data import short
from memunlearn.sweeps.content import SweepContent
from memunlearn.sweeps.quantities import Quantity
from memunlearn.sweeps.series import (
    DifferenceRow,
    Distribution,
    Path,
    distributions,
    main_differences,
    paths,
    style,
)

GRID = "#e6e6e6"
ROW_HEIGHT = 62
LINE_HEIGHT = 18
LABEL_WIDTH = 24
FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1a1a1a"}


@dataclass(frozen=True)
class Plot:
    """One figure of the page. spec: `data` and `layout` of Plotly.newPlot."""

    name: str
    caption: str
    alt: str
    spec: dict[str, Any]


def plots_of(content: SweepContent) -> list[Plot]:
    """Figures that have something to show."""
    drawn = paths(content.settings)
    plots = []
    for key, label in (("retain_val_kl", "retain_val KL (nats per token)"), ("bystander_val_em", "bystander_val EM (tokens)")):
        if any(getattr(check, key) is not None for path in drawn for check in path.checks):
            alt = f"Forget EM against {label} along each run's steps; a colour a setting, a line a seed."
            caption = f"forget EM against {label.partition(' (')[0]}"
            plots.append(Plot(f"forget-em-{key.replace('_', '-')}", caption, alt, _path_plot(drawn, key, label)))
    for quantity, rows in main_differences(content.comparisons):
        alt = f"Differences in {quantity.label} at the end of the runs: a small mark a seed, a diamond the mean."
        caption = f"{quantity.label} at the end of the runs, first minus second"
        plots.append(
            Plot(f"difference-{quantity.label.replace(' ', '-').lower()}", caption, alt, _difference_plot(quantity, rows))
        )
    for name, rows_of_set in distributions(content.settings).items():
        alt = f"EM and self-EM of the {name} paragraphs after the runs, a violin pair a setting, pooled over seeds."
        plots.append(Plot(f"violins-{name}", f"{name} set", alt, _violin_plot(rows_of_set)))
    return plots


def _path_plot(drawn: Sequence[Path], key: str, label: str) -> dict[str, Any]:
    traces: list[dict[str, Any]] = []
    named, name = set(), label.partition(" (")[0]
    for path in drawn:
        checks = [check for check in path.checks if getattr(check, key) is not None]
        colour, dash = style(path.place)
        setting = html.escape(path.setting)
        hover = f"{setting}, seed {html.escape(path.seed)}"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [short(getattr(check, key)) for check in checks],
                "y": [short(check.forget_em) for check in checks],
                "customdata": [check.step for check in checks],
                "name": setting,
                "legendgroup": setting,
                "showlegend": setting not in named,
                "line": {"color": colour, "dash": dash, "width": 1.5},
                "marker": {"color": colour, "size": 4},
                "opacity": 0.75,
                "hovertemplate": f"{hover}<br>step %{{customdata}}<br>{name} %{{x}}<br>forget EM %{{y}}<extra></extra>",
            }
        )
        named.add(setting)
    rows_of_legend = (len(named) + 1) // 2
    layout = _layout(380 + 24 * rows_of_legend)
    layout["xaxis"] |= {"title": {"text": label}, "rangemode": "tozero"}
    layout["yaxis"] |= {"title": {"text": "forget EM (tokens)"}, "rangemode": "tozero"}
    layout["legend"] = {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0}
    return {"data": traces, "layout": layout}


def _difference_plot(quantity: Quantity, rows: Sequence[DifferenceRow]) -> dict[str, Any]:
    labels = [_wrapped(row.label) for row in rows]
    drawn = [(label, point) for label, row in zip(labels, rows, strict=True) for point in row.points]
    bars = [row.interval or (row.mean, row.mean) for row in rows]
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "seeds",
            "x": [short(point) for _, point in drawn],
            "y": [label for label, _ in drawn],
            "marker": {"color": "#0072B2", "size": 6, "opacity": 0.45},
            "hovertemplate": "%{x}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "mean and 95 % interval" if any(row.interval for row in rows) else "mean (no interval)",
            "x": [short(row.mean) for row in rows],
            "y": labels,
            "marker": {"color": "#D55E00", "size": 9, "symbol": "diamond"},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [short(high - row.mean) for row, (_, high) in zip(rows, bars, strict=True)],
                "arrayminus": [short(row.mean - low) for row, (low, _) in zip(rows, bars, strict=True)],
                "color": "#D55E00",
            },
            "hovertemplate": "mean %{x}<extra></extra>",
        },
    ]
    layout = _layout(130 + _height(labels))
    layout["xaxis"] |= {
        "title": {"text": f"difference ({quantity.unit})"},
        "zeroline": True,
        "zerolinecolor": "#444",
    }
    layout["yaxis"] |= {"autorange": "reversed", "type": "category"}
    layout["legend"] = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout["margin"]["t"] = 60
    return {"data": traces, "layout": layout}


def _violin_plot(rows: Sequence[Distribution]) -> dict[str, Any]:
    traces = []
    for row in rows:
        for label, values, side, colour in (
            ("EM", row.em, "negative", "#0072B2"),
            ("self-EM", row.self_em, "positive", "#D55E00"),
        ):
            traces.append(
                {
                    "type": "violin",
                    "orientation": "h",
                    "x": list(values),
                    "y": [_wrapped(row.setting)] * len(values),
                    "name": label,
                    "legendgroup": label,
                    "scalegroup": label,
                    "showlegend": row is rows[0],
                    "side": side,
                    "width": 0.95,
                    "spanmode": "hard",
                    "points": False,
                    "meanline": {"visible": True},
                    "line": {"color": colour, "width": 1},
                    "scalemode": "width",
                    "hoveron": "violins",
                }
            )
    layout = _layout(120 + _height([_wrapped(row.setting) for row in rows]))
    layout["xaxis"] |= {"title": {"text": "tokens"}, "rangemode": "tozero"}
    layout["yaxis"] |= {"autorange": "reversed", "type": "category"}
    layout["legend"] = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout["margin"]["t"] = 60
    layout |= {"violinmode": "overlay", "violingap": 0.1}
    return {"data": traces, "layout": layout}


def _layout(height: int) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    return {
        "height": height,
        "font": FONT,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 40},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": dict(axis),
        "yaxis": dict(axis),
        "hovermode": "closest",
    }


def _wrapped(label: str) -> str:
    """Escaped, since Plotly reads tags in labels; a line a part, so that a phone has room for the drawing."""
    parts = label.replace(" - ", " -\n", 1).replace(") (", ")\n(").replace(", ", ",\n").splitlines()
    return "<br>".join(html.escape(line) for part in parts for line in textwrap.wrap(part, LABEL_WIDTH))


def _height(labels: Sequence[str]) -> int:
    """Of as many rows as there are labels, in pixels."""
    return len(labels) * max(ROW_HEIGHT, *(LINE_HEIGHT * (label.count("<br>") + 1) for label in labels))
