"""Figures as PNG bytes, from plain rows. Colours are Okabe and Ito's, told apart by marker and line style as well."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from memunlearn.reporting.tables import set_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
DOTS_PER_INCH = 150
# Wide enough to tell rows with the same EM apart, narrow enough that before and after do not touch.
JITTER = 0.13


@dataclass(frozen=True)
class Series:
    """One line of the training curve: the key that it is read from, and how it is drawn."""

    key: str
    label: str
    colour: str
    marker: str
    line: str


TOKEN_SERIES = (
    Series("check/forget_em", "forget EM", VERMILLION, "o", "-"),
    Series("check/forget_longest_run", "forget longest run", PURPLE, "^", "--"),
    Series("check/bystander_val_em", "bystander_val EM", BLUE, "s", "-."),
)
KL_SERIES = Series("check/retain_val_kl", "retain_val KL", GREEN, "D", "-")


def training_curves(curve: Sequence[Mapping[str, float]]) -> bytes | None:
    """EM and longest run (tokens) above KL (nats per token), both over training steps. None where there is nothing to draw.

    curve: dicts that may lack any of the keys `step`, `check/forget_em`, `check/forget_longest_run`,
    `check/bystander_val_em`, `check/retain_val_kl`.
    """
    if not any(_points(curve, series.key) for series in (*TOKEN_SERIES, KL_SERIES)):
        return None
    figure = _figure(width=7.0, height=5.0)
    tokens, kl = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    for axes, drawn, label in ((tokens, TOKEN_SERIES, "tokens"), (kl, (KL_SERIES,), "nats per token")):
        for series in drawn:
            points = _points(curve, series.key)
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
    return _png(figure)


def em_before_after(rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """EM (tokens) of every paragraph before and after, a strip per set with its mean. None where there are no rows.

    rows: dicts with `set`, `em_before`, `em_after`.
    """
    by_set: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        by_set.setdefault(row["set"], []).append((row["em_before"], row["em_after"]))
    names = set_names(dict.fromkeys(by_set))
    if not names:
        return None
    figure = _figure(width=max(7.0, 1.3 * len(names)), height=4.0)
    axes = figure.subplots()
    draw = random.Random(0)
    for offset, when, colour, marker in ((-0.2, "before", BLUE, "o"), (0.2, "after", VERMILLION, "^")):
        for place, name in enumerate(names):
            values = [pair[0] if when == "before" else pair[1] for pair in by_set[name]]
            spread = [place + offset + draw.uniform(-JITTER, JITTER) for _ in values]
            # matplotlib leaves labels that start with an underscore out of the legend.
            label = when if place == 0 else "_"
            opacity = max(0.25, min(0.7, 40 / len(values)))
            axes.scatter(spread, values, s=12, color=colour, marker=marker, alpha=opacity, linewidths=0, label=label)
            mean_label = "mean" if place == 0 and when == "after" else "_"
            axes.hlines(fmean(values), place + offset - 0.18, place + offset + 0.18, colors="black", label=mean_label)
    axes.set_xticks(range(len(names)), [f"{name}\n({len(by_set[name]):,} rows)" for name in names])
    axes.set_ylabel("EM (leading tokens right)")
    axes.set_ylim(bottom=-1)
    axes.grid(axis="y", alpha=0.3)
    for handle in figure.legend(loc="outside upper center", ncols=3, frameon=False).legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return _png(figure)


def _points(curve: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    held = [(row["step"], row[key]) for row in curve if row.get("step") is not None and row.get(key) is not None]
    return [(step, value) for step, value in held if math.isfinite(value)]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()
