"""The sweep's figures as files for papers: PNG and PDF of the same series that the page draws."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from memunlearn.files.writing import replacing
from memunlearn.results.figures import BLUE, DOTS_PER_INCH, VERMILLION
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = ("trajectories", "violins", "differences")
LINES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}


def write_figures(folder: str | os.PathLike[str], content: SweepContent) -> list[FilePath]:
    """Writes NAMES as .png and .pdf where there is something to draw, and removes those of earlier summaries where not."""
    drawn = {
        "trajectories": _trajectories(paths(content.settings)),
        "violins": _violins(distributions(content.settings)),
        "differences": _differences(main_differences(content.comparisons)),
    }
    written = []
    for name in NAMES:
        for suffix in ("png", "pdf"):
            path = FilePath(folder) / f"{name}.{suffix}"
            figure = drawn[name]
            if figure is None:
                path.unlink(missing_ok=True)
                continue
            # Without a date the same numbers give the same file.
            metadata: dict[str, Any] = {"CreationDate": None} if suffix == "pdf" else {}
            with replacing(path) as temporary:
                figure.savefig(temporary, format=suffix, dpi=DOTS_PER_INCH, metadata=metadata)
            written.append(path)
    return written


def _trajectories(drawn: Sequence[Path]) -> Figure | None:
    """Forget EM against retain_val KL and against bystander_val EM, a colour a setting, a line a seed."""
    if not drawn:
        return None
    figure = _figure(9.0, 4.6)
    for axes, key, label in zip(
        figure.subplots(1, 2, sharey=True),
        ("retain_val_kl", "bystander_val_em"),
        ("retain_val KL (nats per token)", "bystander_val EM (tokens)"),
        strict=True,
    ):
        named = set()
        for path in drawn:
            points = [(getattr(check, key), check.forget_em) for check in path.checks if getattr(check, key) is not None]
            colour, dash = style(path.place)
            # matplotlib leaves labels that start with an underscore out of the legend.
            name = "_" if path.setting in named or key != "retain_val_kl" else _plain(path.setting)
            named.add(path.setting)
            x, y = zip(*points, strict=True) if points else ((), ())
            drawing = {"color": colour, "linestyle": LINES[dash], "marker": "o", "markersize": 2.5, "linewidth": 1.1}
            axes.plot(x, y, label=name, alpha=0.8, **drawing)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if key == "retain_val_kl":
            axes.set_ylabel("forget EM (tokens)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _violins(by_set: dict[str, list[Distribution]]) -> Figure | None:
    """EM and self-EM after the runs: a row of axes a set, a pair of violins a setting."""
    if not by_set:
        return None
    rows = max(len(row) for row in by_set.values())
    figure = _figure(max(6.0, 1.0 * rows + 2), 2.3 * len(by_set) + 1.2)
    grid = figure.subplots(len(by_set), 1, squeeze=False)
    for axes, (name, held) in zip(grid[:, 0], by_set.items(), strict=True):
        _violin(axes, -0.2, BLUE, [row.em for row in held])
        _violin(axes, 0.2, VERMILLION, [row.self_em for row in held])
        axes.set_xticks(range(len(held)), [_plain(row.setting).replace(", ", ",\n") for row in held], fontsize=7)
        axes.set_ylabel(f"{name}\ntokens")
        axes.set_ylim(bottom=-1)
        axes.grid(axis="y", alpha=0.3)
    handles = [_patch(BLUE, "EM"), _patch(VERMILLION, "self-EM")]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _violin(axes: Axes, offset: float, colour: str, values: Sequence[Sequence[float]]) -> None:
    there = [(place + offset, list(one)) for place, one in enumerate(values) if one]
    # A density needs two different values; a line says where all of them are.
    spread = [(place, one) for place, one in there if len(set(one)) > 1]
    for place, one in there:
        axes.hlines(sum(one) / len(one), place - 0.17, place + 0.17, colors=colour)
    if spread:
        places, rows = zip(*spread, strict=True)
        bodies: Any = axes.violinplot(list(rows), list(places), widths=0.36, showextrema=False)["bodies"]
        for body in bodies:
            body.set(facecolor=colour, alpha=0.45)


def _differences(main: Sequence[tuple[Quantity, list[DifferenceRow]]]) -> Figure | None:
    """The main differences, one axes a quantity: a dot a seed, a diamond and a bar for the mean and its interval."""
    if not main:
        return None
    figure = _figure(8.0, sum(0.42 * len(rows) + 0.9 for _, rows in main))
    grid = figure.subplots(len(main), 1, squeeze=False, height_ratios=[len(rows) + 1.5 for _, rows in main])
    for axes, (quantity, rows) in zip(grid[:, 0], main, strict=True):
        for place, row in enumerate(rows):
            axes.scatter(row.points, [place] * len(row.points), s=14, color=BLUE, alpha=0.45, linewidths=0)
            axes.scatter([row.mean], [place], s=26, color=VERMILLION, marker="D", zorder=3)
            if row.interval:
                axes.hlines(place, *row.interval, colors=VERMILLION)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [_plain(row.label) for row in rows], fontsize=7)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"difference in {quantity.label} ({quantity.unit})")
        axes.grid(axis="x", alpha=0.3)
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, alpha=0.6, label=label)


def _plain(label: str) -> str:
    """Dollar signs would start mathematics."""
    return label.replace("$", r"\$")
