"""Charts as files for papers (PNG and PDF), drawn with matplotlib."""

from __future__ import annotations

import math
import random
import re
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memunlearn.charts.description import Bars, Chart, Distributions, Heat, Lines, Panel, Scatter, Value
from memunlearn.charts.style import (
    MISSING,
    WHITE,
    Scale,
    bands,
    box_of,
    categories,
    drawn,
    finite,
    longest_line,
    points_of,
    reaches,
    scales,
    step_for,
    ticks_across,
)
from memunlearn.results.figures import JITTER, Picture, empty_figure, file_bytes, point_opacity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
PANEL_WIDTH = {1: 6.5, 2: 3.7, 3: 3.0}
NARROWEST_PANEL = 2.7
CHARACTER, SMALL_CHARACTER, LINE = 0.075, 0.064, 0.17
BODY = 2.3
ROW_OF_CELLS, HEAT_AT_LEAST, HEAT_AT_MOST = 0.2, 1.3, 5.5
HATCHES = ("", "///", "...", "xxx", "---")
UNDRAWABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def picture(chart: Chart) -> Picture:
    """The chart as the bytes of its files, the same every time."""
    figure = draw_chart(chart)
    with warnings.catch_warnings():
        # Tokens may hold any script; what the font lacks is a box.
        warnings.filterwarnings("ignore", message="Glyph")
        return Picture(chart.name, file_bytes(figure, "png"), file_bytes(figure, "pdf"))


def draw_chart(chart: Chart) -> Figure:
    """Its panels in rows, titles and a legend above them."""
    chart = drawn(chart)
    columns = max(1, min(chart.columns, len(chart.panels)))
    width = PANEL_WIDTH.get(columns, NARROWEST_PANEL)
    rows = [chart.panels[start : start + columns] for start in range(0, len(chart.panels), columns)]
    heights = [max(_height(panel, width) for panel in row) for row in rows]
    entries = max(1, len(_legend_labels(chart)))
    across = max(1, int(columns * width / (longest_line(_legend_labels(chart)) * CHARACTER + 0.6)))
    figure = empty_figure(columns * width, sum(heights) + 0.22 * math.ceil(entries / across))
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights).flatten().tolist()
    for axes in grid[len(chart.panels) :]:
        axes.set_axis_off()
    for place, (panel, axes) in enumerate(zip(chart.panels, grid, strict=False)):
        title = "\n".join(textwrap.wrap(panel.title, int((width - 0.5) / CHARACTER)))
        axes.set_title(_literal(title), fontsize="medium", loc="left")
        _draw_panel(axes, panel, width)
        if chart.shared and place % columns and panel.kind == chart.panels[place - 1].kind:
            axes.set_ylabel("")
    for scale in scales(chart):
        _colour(figure, [grid[place] for place in scale.panels], scale, heights[scale.panels[0] // columns])
    if chart.shared:
        _share_y([axes for axes, panel in zip(grid, chart.panels, strict=False) if not isinstance(panel, Heat)])
    _legend(figure, grid, chart, across)
    return figure


def _draw_panel(axes: Axes, panel: Panel, width: float) -> None:
    if isinstance(panel, Heat):
        _heat(axes, panel, width)
        return
    axes.set_axisbelow(True)
    axes.grid(axis="both" if isinstance(panel, Lines | Scatter) else "y", alpha=0.3)
    axes.set_ylabel(_wrapped(panel.y_label, BODY))
    if isinstance(panel, Distributions):
        _distributions(axes, panel)
    elif isinstance(panel, Bars):
        _bars(axes, panel)
    else:
        axes.set_xlabel(_wrapped(panel.x_label, width - 0.6))
        _scale_axes(axes, panel)
        (_lines if isinstance(panel, Lines) else _scatter)(axes, panel)
    if isinstance(panel, Distributions | Bars):
        _label_places(axes, categories(panel), width - 0.8)


def _lines(axes: Axes, panel: Any) -> None:
    if panel.zero:
        axes.axhline(0, color="#444444", linewidth=0.8, zorder=1)
    for series in panel.series:
        marker = "None" if series.marker == "none" else series.marker
        size = 4 if len(series.x) <= 25 else 2.5
        style: dict[str, Any] = {
            "color": series.colour,
            "linestyle": series.dash,
            "marker": marker,
            "markersize": size,
            "linewidth": 1.4,
        }
        axes.plot(_numbers(series.x), _numbers(series.y), label=_literal(series.label), **style)
        for x, low, high in bands(series):
            if len(x) == 1:
                axes.vlines(x, low, high, color=series.colour, alpha=0.4)
            axes.fill_between(x, low, high, color=series.colour, alpha=0.18, linewidth=0)


def _scatter(axes: Axes, panel: Any) -> None:
    for series in panel.series:
        x, y = _numbers(series.x), _numbers(series.y)
        marker = "o" if series.marker == "none" else series.marker
        faint = point_opacity(series.x) if series.x else 1
        style: dict[str, Any] = {"color": series.colour, "marker": marker, "alpha": faint, "linewidths": 0, "s": 16}
        axes.scatter(x, y, label=_literal(series.label), **style)
        if (far := reaches(series)) is not None:
            errors = [_numbers(side) for side in far]
            axes.errorbar(x, y, yerr=errors, fmt="none", ecolor=series.colour, elinewidth=1, alpha=0.6)


def _distributions(axes: Axes, panel: Distributions) -> None:
    noise = random.Random(0)
    for place, group in enumerate(panel.groups):
        points = points_of(group)
        if (box := box_of(group)) is None:
            continue
        spread = [place + noise.uniform(-JITTER, JITTER) for _ in points]
        axes.scatter(spread, points, s=9, color=group.colour, alpha=point_opacity(points), linewidths=0)
        stats: dict[str, Any] = {"med": box.median, "q1": box.first, "q3": box.third, "whislo": box.low, "whishi": box.high}
        line: dict[str, Any] = {"color": group.colour, "linewidth": 1.3}
        styles: dict[str, Any] = {
            "boxprops": line,
            "whiskerprops": line,
            "capprops": line,
            "medianprops": {"color": "black", "linewidth": 1.8},
        }
        axes.bxp([stats], positions=[place], widths=0.55, showfliers=False, manage_ticks=False, **styles)
    if panel.log_y and any(value > 0 for group in panel.groups for value in finite(group.values)):
        axes.set_yscale("log")
    axes.set_xlim(-0.6, len(panel.groups) - 0.4)


def _bars(axes: Axes, panel: Bars) -> None:
    width = 0.8 / max(1, len(panel.series))
    axes.axhline(0, color="#444444", linewidth=0.8)
    for nth, series in enumerate(panel.series):
        places = [place + (nth - (len(panel.series) - 1) / 2) * width for place in range(len(panel.categories))]
        style: dict[str, Any] = {
            "color": series.colour,
            "edgecolor": WHITE,
            "linewidth": 0.5,
            "hatch": HATCHES[nth % len(HATCHES)],
        }
        axes.bar(places, _numbers(series.y), width, label=_literal(series.label), **style)
        if (far := reaches(series)) is not None:
            errors = [_numbers(side) for side in far]
            axes.errorbar(places, _numbers(series.y), yerr=errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
    axes.set_xlim(-0.6, len(panel.categories) - 0.4)


def _heat(axes: Axes, panel: Heat, width: float) -> None:
    body = _body(panel)
    axes.imshow([_numbers(row) for row in panel.values], aspect="auto", interpolation="none")
    axes.set_facecolor(MISSING)
    every = range(0, len(panel.rows), step_for(len(panel.rows), body, LINE))
    axes.set_yticks(every, [_literal(panel.rows[place]) for place in every], fontsize="small")
    axes.set_ylabel(_wrapped(panel.row_label, body))
    axes.set_xlabel(_wrapped(panel.column_label, width - 1.5))
    _label_places(axes, panel.columns, width - 1.2 - longest_line(panel.rows) * CHARACTER)
    if panel.marked:
        rows, columns = zip(*panel.marked, strict=True)
        size = 72 * min(body / len(panel.rows), (width - 1.6) / len(panel.columns))
        style: dict[str, Any] = {"color": "black", "edgecolors": WHITE, "linewidths": 0.5}
        axes.scatter(columns, rows, s=max(4.0, min(6.0, 0.5 * size)) ** 2, **style)


def _colour(figure: Figure, axes: Sequence[Axes], scale: Scale, height: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("cells", scale.colours).with_extremes(bad=MISSING)

    norm = Normalize(scale.low, scale.high)
    for one in axes:
        one.images[0].set(cmap=colours, norm=norm)
    figure.colorbar(axes[0].images[0], ax=list(axes), label=_wrapped(scale.unit, height - 0.4), aspect=25, pad=0.02)


def _label_places(axes: Axes, labels: Sequence[str], room: float) -> None:
    ticks = ticks_across(labels, room, SMALL_CHARACTER)
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if ticks.turned else {}
    if ticks.turned and len(ticks.places) * 0.24 > room:
        turned |= {"rotation": 90, "va": "center"}
    axes.set_xticks(ticks.places, [_literal(label) for label in ticks.labels], fontsize="small", **turned)


def _scale_axes(axes: Axes, panel: Lines | Scatter) -> None:
    for name, log in (("x", panel.log_x), ("y", panel.log_y)):
        if log and any(value > 0 for series in panel.series for value in finite(getattr(series, name))):
            axes.set(**{f"{name}scale": "log"})


def _share_y(axes: Sequence[Axes]) -> None:
    for scale in ("linear", "log"):
        same = [one for one in axes if one.get_yscale() == scale]
        limits = [one.get_ylim() for one in same]
        for one in same:
            one.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _legend(figure: Figure, grid: Sequence[Axes], chart: Chart, across: int) -> None:
    """One entry a label and colour, over all panels, above them: so it covers no data."""
    entries: dict[tuple[str, str], Any] = {}
    for axes, panel in zip(grid, chart.panels, strict=False):
        if isinstance(panel, Lines | Scatter | Bars):
            named = [series for series in panel.series if series.label]
            handles, labels = axes.get_legend_handles_labels()
            for series, handle, label in zip(named, handles, labels, strict=True):
                entries.setdefault((label, series.colour), handle)
    if not entries:
        return
    labels = [label for label, _ in entries]
    legend = figure.legend(list(entries.values()), labels, loc="outside upper left", ncols=across, frameon=False)
    for drawn_handle in legend.legend_handles:
        if drawn_handle is not None:
            drawn_handle.set_alpha(1)


def _legend_labels(chart: Chart) -> list[str]:
    panels = [panel for panel in chart.panels if isinstance(panel, Lines | Scatter | Bars)]
    return list(dict.fromkeys(series.label for panel in panels for series in panel.series if series.label))


def _body(panel: Panel) -> float:
    if isinstance(panel, Heat):
        return min(HEAT_AT_MOST, max(HEAT_AT_LEAST, ROW_OF_CELLS * len(panel.rows)))
    return BODY


def _height(panel: Panel, width: float) -> float:
    """In inches, with its title and what stands under it."""
    height = _body(panel) + LINE * (1 + math.ceil(len(panel.title) * CHARACTER / (width - 0.5)))
    if isinstance(panel, Lines | Scatter):
        return height + 0.5
    ticks = ticks_across(categories(panel), width - 1, SMALL_CHARACTER)
    lines = max((label.count("\n") + 1 for label in ticks.labels), default=1)
    under = 0.75 * SMALL_CHARACTER * longest_line(ticks.labels) if ticks.turned else LINE * lines
    return height + 0.15 + under + (LINE if isinstance(panel, Heat) else 0)


def _wrapped(text: str, room: float) -> str:
    return _literal("\n".join(textwrap.wrap(text, max(12, int(room / CHARACTER)))))


def _literal(text: str) -> str:
    """Drawn as it stands: no formula between dollars, no entry that matplotlib hides for its underscore."""
    text = UNDRAWABLE.sub("\ufffd", text).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def _numbers(values: Sequence[Value]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
