"""Curves over the noise, for each choice of weights and each set of paragraphs; their table and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from memunlearn.localization.weight_noise import NoiseScores
from memunlearn.reporting.charts import MEMORIZED, NEUTRAL, NON_MEMORIZED, OTHERS, Chart, Lines, Series
from memunlearn.scoring.score import ParagraphScores

TOP, RANDOM, MATCHED = "top", "random", "random matched"
"""The choices of weights: highest attribution; as many anywhere; as many in each tensor."""

Metric = Literal["em", "nll"]


@dataclass(frozen=True, eq=False)
class NoiseCurves:
    """Means over the rows of a set. em, nll: by set, [choices, scales, seeds] float64; before_em, before_nll: without noise.

    sets: `memorized`, and `non_memorized` where there is such a row; sizes: their rows.
    """

    choices: tuple[str, ...]
    scales: tuple[float, ...]
    unit: float
    sets: tuple[str, ...]
    sizes: dict[str, int]
    em: dict[str, np.ndarray]
    nll: dict[str, np.ndarray]
    before_em: dict[str, float]
    before_nll: dict[str, float]

    @staticmethod
    def of(scores: NoiseScores, before: ParagraphScores, memorized: int) -> NoiseCurves:
        """The first `memorized` rows are memorized, the others are not."""
        rows = {"memorized": slice(0, memorized), "non_memorized": slice(memorized, None)}
        rows = {name: part for name, part in rows.items() if len(before.em[part])}
        return NoiseCurves(
            scores.choices,
            scores.scales,
            scores.unit,
            tuple(rows),
            {name: len(before.em[part]) for name, part in rows.items()},
            {name: scores.em[..., part].mean(-1).numpy() for name, part in rows.items()},
            {name: scores.nll[..., part].mean(-1).numpy() for name, part in rows.items()},
            {name: float(before.em[part].double().mean()) for name, part in rows.items()},
            {name: float(before.nll[part].double().mean()) for name, part in rows.items()},
        )

    @property
    def seeds(self) -> int:
        return self.em["memorized"].shape[2]

    def over_seeds(self, metric: Metric, choice: str, name: str, scale: int) -> list[float]:
        """[seeds]."""
        values = {"em": self.em, "nll": self.nll}[metric][name]
        return values[self.choices.index(choice), scale].tolist()

    def mean(self, metric: Metric, choice: str, name: str, scale: int) -> float | None:
        """Over seeds; None where noise broke the model."""
        return _finite(float(np.mean(self.over_seeds(metric, choice, name, scale))))

    def rises(self, choice: str, name: str, scale: int) -> list[float]:
        """[seeds]: how much the NLL is above that without noise."""
        return [value - self.before_nll[name] for value in self.over_seeds("nll", choice, name, scale)]

    def halved_at(self, choice: str) -> int | None:
        """Place of the smallest scale at which memorized EM, mean over seeds, is at most half of what it is without noise.

        None where no scale does that, or where nothing was recited without noise.
        """
        if not self.before_em["memorized"]:
            return None
        em = self.em["memorized"][self.choices.index(choice)].mean(1)
        below = np.flatnonzero(em <= self.before_em["memorized"] / 2)
        return int(below[0]) if len(below) else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def table(curves: NoiseCurves) -> dict[str, list[Any]]:
    """A row a choice, scale, seed and set; the choice `none` is the model without noise."""
    rows: list[dict[str, Any]] = []
    for name in curves.sets:
        none: dict[str, Any] = {"choice": "none", "scale": 0.0, "deviation": 0.0, "seed": None, "set": name}
        none |= {"paragraphs": curves.sizes[name], "em": curves.before_em[name], "nll": _finite(curves.before_nll[name])}
        rows.append(none)
        for choice in curves.choices:
            for place, scale in enumerate(curves.scales):
                numbers = zip(*(curves.over_seeds(metric, choice, name, place) for metric in ("em", "nll")), strict=True)
                for seed, (em, nll) in enumerate(numbers):
                    where = {"choice": choice, "scale": scale, "deviation": scale * curves.unit, "seed": seed, "set": name}
                    rows.append(where | {"paragraphs": curves.sizes[name], "em": em, "nll": _finite(nll)})
    return {column: [row[column] for row in rows] for column in rows[0]}


def charts(curves: NoiseCurves, fraction: float) -> tuple[Chart, ...]:
    percent = f"{100 * fraction:.3g} %"
    bands = f"bands: lowest to highest of {curves.seeds} noise seeds" if curves.seeds > 1 else "one noise seed"
    made = []
    metrics: tuple[tuple[Metric, str, str], ...] = (("nll", "NLL", "nats per token"), ("em", "EM", "tokens"))
    for metric, title, unit in metrics:
        last = len(curves.scales) - 1
        ends = "; ".join(
            f"{name.replace('_', '-')} {', '.join(_end(curves, metric, choice, name, last) for choice in curves.choices)}"
            for name in curves.sets
        )
        made.append(
            Chart(
                name=f"weight_noise_{metric}",
                caption=f"{title} with noise on {percent} of the weights, at {curves.scales[last]:g} standard deviations: "
                f"{ends}; {bands}.",
                alt=f"Lines of {title} over the noise, one for each choice of weights, in a panel for each set of paragraphs.",
                panels=tuple(_panel(curves, metric, name, f"{title}, {unit}") for name in curves.sets),
                shared=True,
            )
        )
    return tuple(made)


def _end(curves: NoiseCurves, metric: Metric, choice: str, name: str, place: int) -> str:
    value = curves.mean(metric, choice, name, place)
    return f"{'not finite' if value is None else format(value, '.1f')} ({choice})"


def _panel(curves: NoiseCurves, metric: Metric, name: str, y_label: str) -> Lines:
    before = {"em": curves.before_em, "nll": curves.before_nll}[metric][name]
    colour = MEMORIZED if name == "memorized" else NON_MEMORIZED
    styles: dict[str, dict[str, Any]] = {
        TOP: {"colour": colour},
        RANDOM: {"colour": NEUTRAL, "dash": "--", "marker": "s"},
        MATCHED: {"colour": OTHERS[1], "dash": ":", "marker": "^"},
    }
    series = []
    for choice in curves.choices:
        values = [curves.over_seeds(metric, choice, name, place) for place in range(len(curves.scales))]
        has_band = curves.seeds > 1
        series.append(
            Series(
                label=f"top weights ({name.replace('_', '-')})" if choice == TOP else f"{choice} weights",
                x=[0.0, *curves.scales],
                y=[_finite(before), *[_finite(float(np.mean(one))) for one in values]],
                low=[_finite(before), *[_finite(min(one)) for one in values]] if has_band else None,
                high=[_finite(before), *[_finite(max(one)) for one in values]] if has_band else None,
                **styles[choice],
            )
        )
    title = f"{name.replace('_', '-')} (n = {curves.sizes[name]})"
    return Lines(title, "noise, standard deviations of the weights", y_label, tuple(series))
