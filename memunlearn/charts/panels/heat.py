"""The panel of a heat map."""

from __future__ import annotations

from typing import Any

from memunlearn.charts.colour_scales import MISSING, Scale
from memunlearn.charts.description import Heat
from memunlearn.charts.labels import LINE, SMALL_CHARACTER, literal, quoted, wrapped
from memunlearn.charts.marks import NUMBER, Drawing, layer, number_format, said
from memunlearn.charts.numbers import short

WIDE_CELLS = 30
"""So many columns at most have white lines between their cells: of narrower cells they would be what is seen."""
UNIT_WIDTH = 86
"""Pixels of a line of the unit over its colour bar."""


def draw_heat(panel: Heat, name: str, scale: Scale, with_bar: bool, height: float) -> Drawing:
    """with_bar: its colour bar stands beside it. height: in pixels."""
    cells: list[dict[str, Any]] = [
        {"row": row, "column": column, "value": short(value)}
        for row, values in enumerate(panel.values)
        for column, value in enumerate(values)
    ]
    lines = [(panel.unit or "value", f"isValid(datum.value) ? format(datum.value, '{NUMBER}') : 'no value'")]
    if panel.texts is not None:
        for cell in cells:
            cell["text"] = literal(panel.texts[cell["row"]][cell["column"]])
        lines.append(("that is", "datum.text"))
    row, column = _names(panel.row_label, panel.rows), _names(panel.column_label, panel.columns)
    title = f"{row}[datum.row] + ', ' + {column}[datum.column]"
    at = {"x": "column", "y": "row"}
    apart = "#ffffff" if len(panel.columns) <= WIDE_CELLS else None
    rects = layer("rect", at, tooltip=said(title, lines), stroke=apart, strokeWidth=0.5, invalid="show")
    bar = {
        "title": [*wrapped(panel.unit, UNIT_WIDTH, SMALL_CHARACTER)],
        "gradientLength": max(60.0, min(height - LINE * 2, 380.0)),
        "gradientThickness": 11,
        "tickCount": 5,
        **number_format(scale.low, scale.high),
    }
    rects["encoding"]["color"] = {
        "condition": {"test": "!isValid(datum.value)", "value": MISSING},
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": _domain(scale), "range": list(scale.colours), "interpolate": "rgb"},
        "legend": bar if with_bar else None,
    }
    drawing = Drawing()
    drawing.add(f"{name}cells", cells, rects)
    if panel.marked:
        marked = [{"row": row, "column": column} for row, column in panel.marked]
        dots = layer("point", at, fill="#000000", stroke="#ffffff", strokeWidth=0.7, size=32, shape="circle", tooltip=None)
        drawing.add(f"{name}marked", marked, dots)
    return drawing


def _domain(scale: Scale) -> list[float]:
    steps = len(scale.colours) - 1
    return [scale.low + (scale.high - scale.low) * step / steps for step in range(steps + 1)]


def _names(label: str, names: list[str]) -> str:
    return quoted([literal(f"{label} {name}".strip()) for name in names])
