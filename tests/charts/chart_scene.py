"""What is drawn of a chart, read from the picture itself: every mark with its place in pixels, every label with its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import vl_convert

from memunlearn.charts.vega_lite import VEGA_LITE, figure

LEFT, BOTTOM = "left", "bottom"


@dataclass
class Panel:
    """x, y, width, height: of its plotting area in the figure. marks: (type, items) in the order of drawing.

    ticks: by side the labels with their places along it, in the panel's pixels; titles: by side, and under `top` its own.
    """

    x: float
    y: float
    width: float
    height: float
    marks: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    ticks: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    bars: list[dict[str, Any]] = field(default_factory=list)

    def items(self, kind: str, colour: str | None = None, **style: Any) -> list[dict[str, Any]]:
        """Marks of a type, and of a colour and style if asked for."""
        found = []
        for name, items in self.marks:
            for item in items if name == kind else []:
                if colour is not None and colour not in (item.get("fill"), item.get("stroke")):
                    continue
                if all(item.get(key) == value for key, value in style.items()):
                    found.append(item)
        return found

    def values(self, items: list[dict[str, Any]], name: str = "y") -> list[float]:
        """What the axis says at the items' places: x, x2, y or y2."""
        side = BOTTOM if name.startswith("x") else LEFT
        known = [(place, float(text.replace("\u2212", "-").replace(",", ""))) for place, text in self.ticks[side] if text]
        (first, low), (last, high) = known[0], known[-1]
        places = np.array([item[name] for item in items], dtype=float)
        return (low + (places - first) * (high - low) / (last - first)).tolist()


@dataclass
class Scene:
    """A figure: its size in pixels, what its legend says and in which lines, and its panels."""

    width: float
    height: float
    legend: list[str]
    legend_places: list[tuple[float, float]]
    panels: list[Panel]


def scene(chart, columns: int | None = None, width: float = 900) -> Scene:
    """The chart as it is drawn."""
    drawn = figure(chart, columns or chart.columns, width)
    made = vl_convert.vegalite_to_scenegraph(drawn.whole, vl_version=VEGA_LITE)
    legend: list[tuple[str, float, float]] = []
    panels: list[Panel] = []
    _read(made["scenegraph"], 0.0, 0.0, legend, panels)
    places = [(x, y) for _, x, y in legend]
    return Scene(made["width"], made["height"], [text for text, _, _ in legend], places, panels)


def _read(mark, x, y, legend, panels) -> None:
    for item in mark["items"]:
        here = (x + (item.get("x") or 0), y + (item.get("y") or 0))
        inner = item.get("items", [])
        axes = [one for one in inner if one.get("role") == "axis"]
        if axes:
            panels.append(_panel(item, inner, *here))
            continue
        for one in inner:
            if one["marktype"] == "group":
                _read(one, *here, legend, panels)
            elif one["marktype"] == "text":
                legend.extend((_text(text), here[0] + text.get("x", 0), here[1] + text.get("y", 0)) for text in one["items"])


def _panel(item, inner, x, y) -> Panel:
    panel = Panel(x, y, item["width"], item["height"])
    for one in inner:
        role = one.get("role")
        if role == "mark":
            panel.marks.append((one["marktype"], one["items"]))
        elif role == "title":
            panel.titles["top"] = _text(one["items"][0]["items"][0]["items"][0])
        elif role == "axis":
            side = one["items"][0]["orient"]
            for part in one["items"][0]["items"]:
                if part["role"] == "axis-label":
                    along = "x" if side == BOTTOM else "y"
                    panel.ticks[side] = [(label[along], _text(label)) for label in part["items"]]
                elif part["role"] == "axis-title":
                    panel.titles[side] = _text(part["items"][0])
        elif role == "legend":
            panel.bars.append(one["items"][0])
    return panel


def _text(item) -> str:
    text = item.get("text", "")
    return "\n".join(text) if isinstance(text, list) else str(text)
