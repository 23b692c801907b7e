"""The parts that every panel is put together from, as plain dicts of Vega-Lite (https://vega.github.io/vega-lite/docs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memunlearn.charts.description import Value
from memunlearn.charts.labels import SMALL_LINE, Ticks, literal, quoted

Layer = dict[str, Any]
Row = dict[str, Any]
Style = dict[str, Any]

DASHES = {"-": [1, 0], "--": [6, 3], "-.": [7, 3, 2, 3], ":": [2, 2]}
SHAPES = {"o": "circle", "^": "triangle-up", "s": "square", "D": "diamond", "v": "triangle-down", "P": "cross"}
SHAPES["none"] = SHAPES["o"]
DARK = "#222222"
CHOSEN = "chosen"
"""The selection of legend entries: what is not chosen, while others are, is pale."""
PALE = 0.08
ENTRY = "entry"
"""The number of a row's entry in the legend."""
NUMBER = ".4~g"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a legend says of a series. nth: among the bars of a category."""

    label: str
    colour: str
    kind: str
    marker: str = "o"
    dash: str = "-"
    nth: int = 0


@dataclass(frozen=True)
class Drawing:
    """Layers of marks, bottom first, and the rows that they draw, by name."""

    layers: list[Layer] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, name: str, rows: list[Row], *layers: Layer) -> None:
        """Layers that draw these rows."""
        self.rows[name] = rows
        self.layers.extend({"data": {"name": name}, **layer} for layer in layers)


def layer(mark: str, places: Mapping[str, str], entry: int | None = None, opacity: float = 1, **style: Any) -> Layer:
    """Marks at fields of the rows, by channel: {"x": "x", "y": "low", "y2": "high"}. style: of the mark.

    entry: of the legend, whose choice makes it pale or not; None: it is never pale.
    """
    encoding: dict[str, Any] = {channel: {"field": name} for channel, name in places.items()}
    made: Layer = {"mark": {"type": mark, "opacity": opacity, **style}, "encoding": encoding}
    if entry is not None:
        made["transform"] = [{"calculate": str(entry), "as": ENTRY}]
        encoding["opacity"] = {"condition": {"param": CHOSEN, "value": opacity}, "value": PALE * opacity}
    return made


def symbols(places: Mapping[str, str], colour: str, marker: str, size: float, crowd: int, **more: Any) -> Layer:
    """Points; many are smaller. They are opaque: a PDF with a thousand translucent ones is fifty times as large."""
    area = max(0.4, min(1.0, 150 / max(crowd, 1))) * size
    outline = {"fill": tint(colour), "stroke": colour, "strokeWidth": 0.7} if crowd > 1 else {"fill": colour, "stroke": None}
    return layer("point", places, shape=SHAPES[marker], size=area, **outline, **more)


def tint(colour: str, share: float = 0.55) -> str:
    """The colour on white paper, with so much of it."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)


def said(title: str, lines: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What stands under the pointer. title: an expression; lines: a label, as it stands, and an expression of its value."""
    pairs = {"title": title}
    for label, value in lines:
        name = literal(label)
        while name in pairs:  # Vega refuses a name that comes twice
            name += " "
        pairs[name] = value
    return {"expr": "{" + ", ".join(f"{quoted(name)}: {value}" for name, value in pairs.items()) + "}"}


def shown(name: str) -> str:
    """The expression of a field's value in print."""
    return f"isValid(datum.{name}) ? format(datum.{name}, '{NUMBER}') : '-'"


def shown_with_interval(name: str) -> str:
    """The same, with `low` and `high` where there are both."""
    interval = f"' (' + format(datum.low, '{NUMBER}') + ' to ' + format(datum.high, '{NUMBER}') + ')'"
    return f"({shown(name)}) + (isValid(datum.low) && isValid(datum.high) ? {interval} : '')"


def axis(title: Sequence[str], domain: tuple[float, float], log: bool = False, whole: bool = False) -> dict[str, Any]:
    """A channel of numbers. domain: what must be inside. whole: only whole numbers have a tick.

    A logarithmic one ends where its values do: up to the next powers of ten it may be empty over most of its length.
    """
    kind: Style = {"type": "log"} if log else {"type": "linear", "zero": False}
    scale = kind | {"domain": list(domain), "nice": not log}
    # `labelFlush` would push the first and the last label away from their ticks.
    drawn: Style = {"title": list(title) or None, "tickCount": 6, "labelFlush": False, **number_format(*domain, log)}
    drawn |= {"tickMinStep": 1} if whole else {}
    return {"type": "quantitative", "scale": scale, "axis": drawn}


def number_format(low: float, high: float, log: bool = False) -> dict[str, str]:
    """Of an axis or a colour bar over these numbers: powers of ten where they are very small or large, and 0 as it is.

    On a logarithmic axis the smallest number decides, too: it is not hidden beside large ones.
    """
    largest = max(abs(low), abs(high))
    plain = largest == 0 or 1e-3 <= largest < 1e6
    if plain and not (log and low < 1e-3):
        return {}
    return {"format": "~e", "labelExpr": "datum.value === 0 ? '0' : datum.label"}


def named_axis(
    ticks: Ticks, title: Sequence[str], scale: Mapping[str, Any], kind: str = "quantitative", centred: bool = False
) -> dict[str, Any]:
    """A channel of the places 0, 1, ..., with labels at some of them; centred: of several lines, beside their places."""
    lines = {place: literal(label).split("\n") for place, label in zip(ticks.places, ticks.labels, strict=True)}
    known = [lines.get(place, [""]) for place in range(max(ticks.places, default=-1) + 1)]
    if centred:
        # Vega centres the first line alone: all labels get as many, and are moved up by half of them.
        most = max(map(len, known), default=1)
        known = [[""] * ((most - len(label)) // 2) + label for label in known]
    turned: Style = {"labelAngle": -45, "labelAlign": "right", "labelBaseline": "top"} if ticks.turned else {"labelAngle": 0}
    drawn: Style = {
        "title": list(title) or None,
        "values": list(ticks.places),
        "labelExpr": f"{quoted(known)}[datum.value]",
        "labelOverlap": False,
        "labelLimit": 1000,
        "grid": False,
        "labelLineHeight": SMALL_LINE,
        **turned,
    }
    if centred:
        drawn["labelOffset"] = -SMALL_LINE * (most - 1) / 2
    return {"type": kind, "scale": dict(scale), "axis": drawn}


def rows_of(**columns: Sequence[Value] | Sequence[str] | None) -> list[Row]:
    """One dict a row; a column that is None is left out."""
    held = {name: values for name, values in columns.items() if values is not None}
    return [dict(zip(held, values, strict=True)) for values in zip(*held.values(), strict=True)]
