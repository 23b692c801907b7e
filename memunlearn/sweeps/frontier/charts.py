"""The figures of a frontier, described: forgetting against its side effects, and the hypervolumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memunlearn.charts.description import Chart, Estimate, Estimates, Lines, Series
from memunlearn.sweeps.figures import COLOURS, DASHES, MARKERS
from memunlearn.sweeps.frontier.choose import best_of_methods, ranked
from memunlearn.sweeps.frontier.content import FrontierContent
from memunlearn.sweeps.frontier.read import JobReading, Point
from memunlearn.sweeps.frontier.summary import Summary

MOST_KL = 0.5
"""Nats per token: runs end there, one check may lie far beyond."""
AGAINST: tuple[tuple[str, Callable[[Point], float]], ...] = (
    ("retain KL (nats per token)", lambda point: min(point.retain_kl, MOST_KL)),
    ("bystander EM (tokens)", lambda point: point.bystander_em),
)


def frontier_charts(content: FrontierContent) -> list[Chart]:
    """Those that have something to show, the picture first: of what was confirmed, or so far of the best of each method."""
    best = best_of_methods(content.tuning)
    charts = []
    if content.shown:
        charts.append(paths("frontier", "What was confirmed", content.shown))
        charts.append(paths("methods", "The best of each method on the tuning seeds", best))
    else:
        charts.append(paths("frontier", "The best of each method on the tuning seeds", best))
    charts.append(volumes(content.shown or content.tuning))
    return [chart for chart in charts if chart is not None]


def paths(name: str, what: str, summaries: Sequence[Summary]) -> Chart | None:
    """A colour a candidate, a line a run, a mark a check, from the base model on."""
    drawn = [
        (place, summary, reading) for place, summary in enumerate(summaries) for reading in summary.readings if reading.points
    ]
    if not drawn:
        return None
    panels = tuple(
        Lines(
            title=f"forget EM against {label.partition(' (')[0]}",
            x_label=label,
            y_label="forget EM (tokens)",
            series=tuple(_path(place, summary.candidate.label, reading, value) for place, summary, reading in drawn),
            zero=True,
            zero_x=True,
        )
        for label, value in AGAINST
    )
    return Chart(
        name=name,
        caption=f"{what}: forget EM against its side effects along each run's steps. Lower is more forgotten; further left "
        "(retain KL) and further right (bystander EM) is less side effect.",
        alt="Forget EM against retain KL and against bystander EM along each run's steps; a colour a candidate, a line a seed.",
        panels=panels,
        shared=True,
    )


def volumes(summaries: Sequence[Summary]) -> Chart | None:
    rows = tuple(
        Estimate(
            summary.candidate.label,
            list(summary.hypervolume.values.values()),
            summary.hypervolume.mean,
            *(summary.hypervolume.interval or (None, None)),
        )
        for summary in ranked(summaries)
        if summary.hypervolume is not None
    )
    if not rows:
        return None
    return Chart(
        name="hypervolume",
        caption="Hypervolume, the largest first: how much of forgetting and side effects a run dominates.",
        alt="Hypervolume of each candidate: a small mark a seed, a diamond the mean.",
        panels=(
            Estimates(
                title="hypervolume",
                x_label="share of the cube that is dominated",
                rows=rows,
                points_label="seeds",
                mean_label="mean and 95 % interval" if any(row.low is not None for row in rows) else "mean (no interval)",
            ),
        ),
        columns=1,
    )


def _path(place: int, label: str, reading: JobReading, value: Callable[[Point], float]) -> Series:
    return Series(
        label=label,
        x=[value(point) for point in reading.points],
        y=[point.forget_em for point in reading.points],
        colour=COLOURS[place % len(COLOURS)],
        marker=MARKERS[place % len(MARKERS)],
        dash=DASHES[place // len(COLOURS) % len(DASHES)],
        text=[f"seed {reading.job.seed}, step {point.step}, longest run {point.longest_run:.1f}" for point in reading.points],
    )
