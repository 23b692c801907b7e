"""The figures of `weight_noise`."""

from __future__ import annotations

from typing import Any

import numpy as np

from memunlearn.analyses.weight_noise.compare import Curves, Metric
from memunlearn.analyses.weight_noise.measure import CONTROL, MATCHED, RANDOM, TOP
from memunlearn.charts.description import MEMORIZED, NEUTRAL, NON_MEMORIZED, OTHERS, Chart, Lines, Series
from memunlearn.statistics.estimates import number_or_none, numbers_or_none

METRICS: tuple[tuple[Metric, str, str], ...] = (("nll", "NLL", "nats per token"), ("em", "EM", "tokens"))


def charts(curves: Curves, fraction: float) -> tuple[Chart, ...]:
    bands = f"bands: lowest to highest of {curves.seeds} noise seeds" if curves.seeds > 1 else "one noise seed"
    made = []
    for metric, title, unit in METRICS:
        ends = "; ".join(
            f"{shown(name)} {', '.join(_end(curves, metric, choice, name) for choice in curves.choices)}"
            for name in curves.sizes
        )
        made.append(
            Chart(
                name=f"weight_noise_{metric}",
                caption=f"{title} with noise on {100 * fraction:.3g} % of the weights, at {curves.scales[-1]:g} standard "
                f"deviations: {ends}; {bands}.",
                alt=f"Lines of {title} over the noise, one for each choice of weights, in a panel for each set of paragraphs.",
                panels=tuple(_panel(curves, metric, name, f"{title}, {unit}") for name in curves.sizes),
                shared=True,
            )
        )
    return tuple(made)


def shown(name: str) -> str:
    return name.replace("_", "-")


def _end(curves: Curves, metric: Metric, choice: str, name: str) -> str:
    value = curves.mean(metric, choice, name, len(curves.scales) - 1)
    return f"{'not finite' if value is None else format(value, '.1f')} ({choice})"


def _panel(curves: Curves, metric: Metric, name: str, y_label: str) -> Lines:
    colour = MEMORIZED if name == "memorized" else NON_MEMORIZED
    styles: dict[str, dict[str, Any]] = {
        TOP: {"label": "top weights of memorized", "colour": colour},
        CONTROL: {"label": "top weights of non-memorized", "colour": OTHERS[2], "dash": "-.", "marker": "D"},
        RANDOM: {"label": "random weights", "colour": NEUTRAL, "dash": "--", "marker": "s"},
        MATCHED: {"label": "random matched weights", "colour": OTHERS[1], "dash": ":", "marker": "^"},
    }
    before = number_or_none(curves.without[metric, name])
    series = []
    for choice in curves.choices:
        values = curves.of(metric, choice, name)
        mean, low, high = (
            [before, *numbers_or_none([of_seeds(row) for row in values.tolist()])] for of_seeds in (np.mean, min, max)
        )
        ends: dict[str, Any] = {"low": low, "high": high} if curves.seeds > 1 else {}
        series.append(Series(x=[0.0, *curves.scales], y=mean, **ends, **styles[choice]))
    title = f"{shown(name)} (n = {curves.sizes[name]})"
    return Lines(title=title, x_label="noise, standard deviations of the weights", y_label=y_label, series=tuple(series))
