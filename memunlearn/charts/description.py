"""Figures described as plain numbers: one description for the page, the PNG and the PDF.

A value that is not there is None. Colours mean the same in every figure: memorized text is vermillion, non-memorized blue.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from memunlearn.charts.colours import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION

MEMORIZED, NON_MEMORIZED, NEUTRAL = VERMILLION, BLUE, GREY
BIN_COLOURS = (BLUE, SKY, ORANGE, VERMILLION)
"""EM bins, lowest first."""
OTHERS = (GREEN, PURPLE, ORANGE, SKY)
"""For series that are neither memorized nor non-memorized text."""

Value = float | None
Marker = Literal["o", "^", "s", "D", "v", "P", "none"]


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points, or a line through them: x, y [n]; low, high [n]: a 95 % interval, or nothing.

    text: [n] what a point says under the pointer, or nothing.
    """

    label: str
    x: list[Value]
    y: list[Value]
    colour: str
    low: list[Value] | None = None
    high: list[Value] | None = None
    marker: Marker = "o"
    dash: Literal["-", "--", "-.", ":"] = "-"
    text: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Series as lines; an interval is a band around its line."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    zero: bool = False
    """Draw the line y = 0."""
    zero_x: bool = False
    """The x axis includes 0."""
    kind: Literal["lines"] = "lines"


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Series as points."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    zero: bool = False
    """Both axes include 0, where they are not logarithmic."""
    kind: Literal["scatter"] = "scatter"


@dataclass(frozen=True, kw_only=True)
class Heat:
    """A heat map: values [rows, columns], row 0 at the top.

    rows, columns: labels; unit: of the values, at the colour bar. diverging: 0 is white, below is blue, above vermillion.
    marked: (row, column) of cells with a dot: what that means must stand in the chart's caption. texts [rows, columns]: what a
    cell says under the pointer beside its value, or nothing.
    """

    title: str
    row_label: str
    column_label: str
    rows: list[str]
    columns: list[str]
    values: list[list[Value]]
    unit: str
    diverging: bool = False
    marked: list[tuple[int, int]] = Field(default_factory=list)
    texts: list[list[str]] | None = None
    kind: Literal["heat"] = "heat"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Values of one box, such as one number a paragraph; None is not drawn.

    Groups of one label stand side by side; name: what tells them apart (before, after), in the legend. A name that a series
    has too, in the same colour, is one entry with it. text: [n] what a point
    says under the pointer, or nothing.
    """

    label: str
    values: list[Value]
    colour: str
    name: str = ""
    marker: Marker = "o"
    text: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Distributions:
    """Every group's values as points under a box with its median and quartiles, and if asked for a dotted line at its mean."""

    title: str
    y_label: str
    groups: tuple[Group, ...]
    log_y: bool = False
    mean: bool = False
    zero: bool = False
    """The y axis includes 0, where it is not logarithmic."""
    kind: Literal["distributions"] = "distributions"


@dataclass(frozen=True)
class Bars:
    """Bars side by side: categories along x; each series has a y (and an interval) a category, its x is not used."""

    title: str
    y_label: str
    categories: list[str]
    series: tuple[Series, ...]
    kind: Literal["bars"] = "bars"


@dataclass(frozen=True)
class Estimate:
    """A row: its points [n], such as one a seed, and their mean with an interval, or none."""

    label: str
    points: list[Value]
    mean: float
    low: Value = None
    high: Value = None


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Rows below each other, the first at the top, along one x axis with a line at 0."""

    title: str
    x_label: str
    rows: tuple[Estimate, ...]
    points_label: str
    mean_label: str
    kind: Literal["estimates"] = "estimates"


@dataclass(frozen=True)
class Violin:
    """A row: two samples, [n] and [m], of which one is drawn above the row's line and the other below."""

    label: str
    above: list[Value]
    below: list[Value]


@dataclass(frozen=True, kw_only=True)
class Violins:
    """Densities of many values, rows below each other, the first at the top; the mean of each is a stroke across."""

    title: str
    x_label: str
    rows: tuple[Violin, ...]
    above_label: str
    below_label: str
    kind: Literal["violins"] = "violins"


Panel = Annotated[Lines | Scatter | Heat | Distributions | Bars | Estimates | Violins, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure of one or more panels.

    name: of its files, unique in a folder, such as `token_perturbation_by_position`. caption: one sentence on what it shows,
    computed from the numbers, with the unit of its interval. alt: for those who do not see it: what is drawn.
    columns: panels side by side. shared: the panels have the same y axis, or the same colour scale; and scattered points with
    one x label the same x axis.
    """

    name: str
    caption: str
    alt: str
    panels: tuple[Panel, ...]
    columns: int = 2
    shared: bool = False
