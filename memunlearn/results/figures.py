"""The figures of a run, described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.charts.colours import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from memunlearn.charts.description import Chart, Distributions, Group, Heat, Lines, Marker, Scatter, Series
from memunlearn.results.figure_data import MaskGrid, SetRows, curve_points, mask_grid, set_rows
from memunlearn.scoring.metric import Metric, Percentile
from memunlearn.scoring.metrics import LONGEST_COMMON_RUN, LONGEST_RUN, METRICS

# Colour, marker and dash of the training curve's lines, by the name that a check has for them.
CHECK_LOOKS: dict[str, tuple[str, Marker, Any]] = {
    "forget_em": (VERMILLION, "o", "-"),
    LONGEST_RUN.check_name("forget"): (PURPLE, "^", "--"),
    LONGEST_COMMON_RUN.check_name("forget"): (SKY, "P", "--"),
    "alternative_em": (ORANGE, "v", ":"),
    "bystander_val_em": (BLUE, "s", "-."),
    "retain_val_kl": (GREEN, "D", "-"),
}
OTHER_CHECK_LOOK: tuple[str, Marker, Any] = (GREY, "v", "-")
CHECKED_SETS = ("forget", "bystander_val", "retain_val")
SET_LOOKS: dict[str, tuple[str, Marker]] = {
    "forget": (VERMILLION, "o"),
    "bystander": (BLUE, "s"),
    "near": (PURPLE, "^"),
    "retain": (GREEN, "D"),
    "suspected": (SKY, "P"),
}
OTHER_LOOK: tuple[str, Marker] = (GREY, "v")
EM, NLL = "EM (leading tokens right)", "NLL (nats per token)"
MOMENTS: tuple[tuple[str, str, Marker], ...] = (("before", BLUE, "o"), ("after", VERMILLION, "^"))


def run_charts(
    result: Mapping[str, Any], curve: Sequence[Mapping[str, float]], paragraphs: Sequence[Mapping[str, Any]]
) -> list[Chart]:
    """Every figure for which the run has numbers: `training`, `em`, `nll`, `em_nll`, `mask`.

    result: as in `result.json`. curve: rows of `metrics.csv`. paragraphs: rows of `paragraphs.parquet` (see set_rows).
    """
    sets, grid = set_rows(paragraphs), mask_grid(result.get("mask"))
    charts = [training(curve), before_after(sets, "em"), before_after(sets, "nll"), em_nll(sets), mask(grid)]
    return [chart for chart in charts if chart is not None]


def training(curve: Sequence[Mapping[str, float]]) -> Chart | None:
    """The means that are checked over training steps, a panel a unit: EM and runs (tokens) above KL (nats per token).

    curve: dicts that may lack `step` and any column of a check. None where there is nothing to draw.
    """
    # A percentile follows its metric closely, and would only cover it.
    checked = [
        (metric, name)
        for name in CHECKED_SETS
        for metric in METRICS
        if name in metric.checked and not isinstance(metric.source, Percentile)
    ]
    panels = []
    for unit in dict.fromkeys(metric.unit for metric, _ in checked):
        series = [_checks_of(curve, metric, name) for metric, name in checked if metric.unit == unit]
        if any(line.x for line in series):
            panels.append(
                Lines(
                    title="",
                    x_label="training step",
                    y_label=unit.name,
                    series=tuple(line for line in series if line.x),
                    zero=True,
                    zero_x=True,
                )
            )
    if not panels:
        return None
    return Chart(
        name="training",
        caption="Scores during training, at every check of the stop rule.",
        alt="Over training steps: forget EM and longest run, an edit's alternative EM and longest common run, bystander_val EM "
        "(all in tokens); retain_val KL in nats per token.",
        panels=tuple(panels),
        columns=1,
    )


def _checks_of(curve: Sequence[Mapping[str, float]], metric: Metric, set_name: str) -> Series:
    points = curve_points(curve, f"check/{metric.check_name(set_name)}")
    colour, marker, dash = CHECK_LOOKS.get(metric.check_name(set_name), OTHER_CHECK_LOOK)
    return Series(
        label=metric.label_of(set_name),
        x=[step for step, _ in points],
        y=[metric.unit.scale * value for _, value in points],
        colour=colour,
        marker=marker,
        dash=dash,
    )


def before_after(sets: Sequence[SetRows], metric: str) -> Chart | None:
    """`em` or `nll` of every paragraph before and after, two boxes a set. None where there are no rows."""
    if not sets:
        return None
    groups = [
        Group(
            label=one.name,
            values=list(getattr(one, metric)[when]),
            colour=colour,
            name=moment,
            marker=marker,
            text=one.names(moment),
        )
        for one in sets
        for when, (moment, colour, marker) in enumerate(MOMENTS)
    ]
    name = metric.upper()
    return Chart(
        name=metric,
        caption=f"{name} of every paragraph, before and after. A box is the quartiles with the median, its whiskers reach "
        "the last values within 1.5 interquartile ranges of it, the dotted line is the mean.",
        alt=f"{name} of every paragraph before and after, set by set. The means are in the table of results.",
        panels=(Distributions(title="", y_label=EM if metric == "em" else NLL, groups=tuple(groups), mean=True, zero=True),),
        columns=1,
    )


def em_nll(sets: Sequence[SetRows]) -> Chart | None:
    """EM (tokens) and NLL (nats per token) of every paragraph, before and after side by side, a colour per set."""
    if not sets:
        return None
    panels = []
    for when, (moment, _, _) in enumerate(MOMENTS):
        series = []
        for one in sets:
            colour, marker = SET_LOOKS.get(one.name, OTHER_LOOK)
            series.append(
                Series(
                    label=one.name, x=[*one.em[when]], y=[*one.nll[when]], colour=colour, marker=marker, text=one.names(moment)
                )
            )
        panels.append(Scatter(title=moment, x_label=EM, y_label=NLL, series=tuple(series), zero=True))
    return Chart(
        name="em_nll",
        caption="EM and NLL of every paragraph. The bottom right corner is recited text, the top left corner is not.",
        alt="EM against NLL of every paragraph, before on the left and after on the right, a colour for each set.",
        panels=tuple(panels),
        shared=True,
    )


def mask(grid: MaskGrid | None) -> Chart | None:
    """Share of each component's weights that were chosen, a row per layer. None where the run did not record it."""
    if grid is None or (shares := grid.shares) is None or grid.sizes is None:
        return None
    texts = [
        [f"{count:,} of {size:,} weights" for count, size in zip(*pair, strict=True)]
        for pair in zip(grid.counts, grid.sizes, strict=True)
    ]
    return Chart(
        name="mask",
        caption="Share of each component's weights that was free to change.",
        alt="For every layer and kind of component the share of its weights that was chosen; the numbers are in a table below.",
        panels=(
            Heat(
                title="",
                row_label="layer",
                column_label="component",
                rows=grid.layers,
                columns=grid.kinds,
                values=shares,
                unit="% of the component's weights",
                texts=texts,
            ),
        ),
        columns=1,
    )
