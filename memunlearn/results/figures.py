"""A run's figures as files for papers (PNG and PDF), drawn with matplotlib from plain rows."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from memunlearn.charts.colours import BLUE, VERMILLION
from memunlearn.files.writing import write_bytes
from memunlearn.results.figure_data import KL_SERIES, TOKEN_SERIES, MaskGrid, SetPoints, curve_points, mask_grid, set_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
# Wide enough to tell rows with the same EM apart, narrow enough that before and after do not touch.
JITTER = 0.13


@dataclass(frozen=True)
class Picture:
    """One figure as the bytes of its files; `name` without a suffix."""

    name: str
    png: bytes
    pdf: bytes


def draw(
    result: Mapping[str, Any], curve: Sequence[Mapping[str, float]], paragraphs: Sequence[Mapping[str, Any]]
) -> list[Picture]:
    """Every figure for which the run has numbers. result, curve, paragraphs: as for `page.write_report`."""
    points, grid = set_points(paragraphs), mask_grid(result.get("mask"))
    drawn = {
        "training": training_curves(curve),
        "em": before_after(points, "em"),
        "nll": before_after(points, "nll"),
        "em_nll": em_nll_scatter(points),
        "mask": mask_heat_map(grid),
    }
    return [Picture(name, file_bytes(one, "png"), file_bytes(one, "pdf")) for name, one in drawn.items() if one is not None]


def write_pictures(directory: Path, pictures: Sequence[Picture]) -> None:
    """`<name>.png` and `<name>.pdf` of each, in place of all that were there."""
    for old in [*directory.glob("*.png"), *directory.glob("*.pdf")]:
        old.unlink()
    for picture in pictures:
        write_bytes(directory / f"{picture.name}.png", picture.png)
        write_bytes(directory / f"{picture.name}.pdf", picture.pdf)


def training_curves(curve: Sequence[Mapping[str, float]]) -> Figure | None:
    """EM and longest run (tokens) above KL (nats per token), both over training steps. None where there is nothing to draw.

    curve: dicts that may lack any of the keys `step`, `check/forget_em`, `check/forget_longest_run`,
    `check/forget_longest_common_run`, `check/alternative_em`, `check/bystander_val_em`, `check/retain_val_kl`.
    """
    if not any(curve_points(curve, series.key) for series in (*TOKEN_SERIES, KL_SERIES)):
        return None
    figure = empty_figure(width=7.0, height=5.0)
    tokens, kl = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    for axes, drawn, label in ((tokens, TOKEN_SERIES, "tokens"), (kl, (KL_SERIES,), "nats per token")):
        for series in drawn:
            points = curve_points(curve, series.key)
            if points:
                steps, values = zip(*points, strict=True)
                style = {"color": series.colour, "marker": series.marker, "linestyle": series.line, "markersize": 4}
                axes.plot(steps, values, label=series.label, **style)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False)
    kl.set_xlabel("training step")
    kl.xaxis.get_major_locator().set_params(integer=True)
    return figure


def before_after(points: Sequence[SetPoints], metric: str) -> Figure | None:
    """`em` or `nll` of every paragraph before and after, a strip per set with its mean. None where there are no rows."""
    if not points:
        return None
    figure = empty_figure(width=max(7.0, 1.3 * len(points)), height=4.0)
    axes = figure.subplots()
    noise = random.Random(0)
    for when, offset, colour, marker in ((0, -0.2, BLUE, "o"), (1, 0.2, VERMILLION, "^")):
        for place, one in enumerate(points):
            values = (one.em if metric == "em" else one.nll)[when]
            spread = [place + offset + noise.uniform(-JITTER, JITTER) for _ in values]
            # matplotlib leaves labels that start with an underscore out of the legend.
            label = ("before", "after")[when] if place == 0 else "_"
            axes.scatter(
                spread, values, s=12, color=colour, marker=marker, alpha=point_opacity(values), linewidths=0, label=label
            )
            mean_label = "mean" if place == 0 and when == 1 else "_"
            axes.hlines(fmean(values), place + offset - 0.18, place + offset + 0.18, colors="black", label=mean_label)
    axes.set_xticks(range(len(points)), [one.label for one in points])
    axes.set_ylabel("EM (leading tokens right)" if metric == "em" else "NLL (nats per token)")
    axes.set_ylim(bottom=-1 if metric == "em" else 0)
    axes.grid(axis="y", alpha=0.3)
    _legend_above(figure)
    return figure


def em_nll_scatter(points: Sequence[SetPoints]) -> Figure | None:
    """EM (tokens) and NLL (nats per token) of every paragraph, before and after side by side, a colour per set."""
    if not points:
        return None
    figure = empty_figure(width=7.0, height=3.8)
    for when, axes in enumerate(figure.subplots(1, 2, sharex=True, sharey=True)):
        _scatter(axes, points, when)
    _legend_above(figure)
    return figure


def _scatter(axes: Axes, points: Sequence[SetPoints], when: int) -> None:
    for one, marker in zip(points, "os^DvPX<>" * len(points), strict=False):
        label = one.name if when == 0 else "_"
        opacity = point_opacity(one.index)
        axes.scatter(
            one.em[when], one.nll[when], s=14, color=one.colour, marker=marker, alpha=opacity, linewidths=0, label=label
        )
    axes.set_title(("before", "after")[when], fontsize="medium")
    axes.set_xlabel("EM (leading tokens right)")
    axes.set_ylim(bottom=0)
    if when == 0:
        axes.set_ylabel("NLL (nats per token)")
    axes.grid(alpha=0.3)


def mask_heat_map(grid: MaskGrid | None) -> Figure | None:
    """Share of each component's weights that were chosen, a row per layer. None where the run did not record it."""
    if grid is None or (shares := grid.shares) is None:
        return None
    figure = empty_figure(width=6.0, height=1.6 + 0.3 * len(grid.layers))
    axes = figure.subplots()
    drawn = axes.imshow(
        [[float("nan") if s is None else s for s in row] for row in shares], cmap="Blues", vmin=0, aspect="auto"
    )
    axes.set_xticks(range(len(grid.kinds)), grid.kinds)
    axes.set_yticks(range(len(grid.layers)), grid.layers)
    axes.set_ylabel("layer")
    figure.colorbar(drawn, label="% of the component's weights")
    return figure


def point_opacity(values: Sequence[Any]) -> float:
    """Of so many points: many are paler."""
    return max(0.25, min(0.7, 40 / len(values)))


def _legend_above(figure: Figure) -> None:
    for handle in figure.legend(loc="outside upper center", ncols=5, frameon=False).legend_handles:
        if handle is not None:
            handle.set_alpha(1)


def empty_figure(width: float, height: float) -> Figure:
    """In inches; outside of pyplot, so that no state is left behind."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def file_bytes(figure: Figure, kind: str) -> bytes:
    """`png` or `pdf`."""
    import matplotlib

    buffer = io.BytesIO()
    # Fonts that journals can search and edit, and no date: the same run gives the same file.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata={"CreationDate": None} if kind == "pdf" else None)
    return buffer.getvalue()
