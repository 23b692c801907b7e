"""The figures of a sweep, described: the same for its page and for its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from memunlearn.charts.colours import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION
from memunlearn.charts.description import Chart, Estimate, Estimates, Lines, Marker, Series, Violin, Violins
from memunlearn.sweeps.content import SweepContent
from memunlearn.sweeps.quantities import Quantity
from memunlearn.sweeps.series import DifferenceRow, Distribution, Path, distributions, main_differences, paths

# Without the yellow that paper swallows; after the last one they come again with another dash.
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, "#000000")
DASHES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
MARKERS: tuple[Marker, ...] = ("o", "^", "s", "D", "v", "P")
CHECKS = (("retain_val_kl", "retain_val KL (nats per token)"), ("bystander_val_em", "bystander_val EM (tokens)"))


def sweep_charts(content: SweepContent) -> list[Chart]:
    """Every figure that has something to show: `trajectories`, `violins`, `differences`."""
    charts = [
        trajectories(paths(content.settings)),
        violins(distributions(content.settings)),
        differences(main_differences(content.comparisons)),
    ]
    return [chart for chart in charts if chart is not None]


def trajectories(drawn: Sequence[Path]) -> Chart | None:
    """Forget EM against each of CHECKS along the steps: a colour a setting, a line a run."""
    panels = [
        Lines(
            title=f"forget EM against {label.partition(' (')[0]}",
            x_label=label,
            y_label="forget EM (tokens)",
            series=series,
            zero=True,
            zero_x=True,
        )
        for key, label in CHECKS
        if (
            series := tuple(_path(path, key) for path in drawn if any(getattr(check, key) is not None for check in path.checks))
        )
    ]
    if not panels:
        return None
    against = " and ".join(panel.x_label for panel in panels)
    return Chart(
        name="trajectories",
        caption="Forget EM along each run's steps.",
        alt=f"Forget EM against {against} along each run's steps; a colour a setting, a line a seed.",
        panels=tuple(panels),
        shared=True,
    )


def _path(path: Path, key: str) -> Series:
    checks = [check for check in path.checks if getattr(check, key) is not None]
    return Series(
        label=path.setting,
        x=[getattr(check, key) for check in checks],
        y=[check.forget_em for check in checks],
        colour=COLOURS[path.place % len(COLOURS)],
        marker=MARKERS[path.place % len(MARKERS)],
        dash=DASHES[path.place // len(COLOURS) % len(DASHES)],
        text=[f"seed {path.seed}, step {check.step}" for check in checks],
    )


def violins(by_set: dict[str, list[Distribution]]) -> Chart | None:
    """EM and self-EM after the runs: a panel a set, a row a setting."""
    panels = [
        Violins(
            title=f"{name} set",
            x_label="tokens",
            rows=tuple(Violin(row.setting, list(row.em), list(row.self_em)) for row in rows),
            above_label="EM",
            below_label="self-EM",
        )
        for name, rows in by_set.items()
    ]
    if not panels:
        return None
    return Chart(
        name="violins",
        caption="EM and self-EM after the runs, set by set.",
        alt="EM and self-EM of the paragraphs after the runs, a panel a set, a violin pair a setting, pooled over seeds.",
        panels=tuple(panels),
        columns=1,
    )


def differences(main: Sequence[tuple[Quantity, list[DifferenceRow]]]) -> Chart | None:
    """The main differences: a panel a quantity, a row a comparison, a point a seed, the mean and its interval."""
    if not main:
        return None
    return Chart(
        name="differences",
        caption="The main differences at the end of the runs, first minus second.",
        alt="Differences at the end of the runs, a panel a quantity: a small mark a seed, a diamond the mean.",
        panels=tuple(_differences(quantity, rows) for quantity, rows in main),
        columns=1,
    )


def _differences(quantity: Quantity, rows: Sequence[DifferenceRow]) -> Estimates:
    return Estimates(
        title=f"{quantity.label} at the end of the runs, first minus second",
        x_label=f"difference ({quantity.unit})",
        rows=tuple(Estimate(row.label, list(row.points), row.mean, *(row.interval or (None, None))) for row in rows),
        points_label="seeds",
        mean_label="mean and 95 % interval" if any(row.interval for row in rows) else "mean (no interval)",
    )
