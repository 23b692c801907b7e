"""Curves over the noise, for each choice of weights and each set of paragraphs; their table and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from memunlearn.charts.description import MEMORIZED, NEUTRAL, NON_MEMORIZED, OTHERS, Chart, Lines, Series
from memunlearn.localization.weight_noise import NoiseScores
from memunlearn.scoring.score import ParagraphScores

TOP, CONTROL, RANDOM, MATCHED = "top", "top of non-memorized", "random", "random matched"
"""The choices of weights: highest attribution of memorized and of non-memorized text; as many anywhere; in each tensor."""

Metric = Literal["em", "nll"]


@dataclass(frozen=True, eq=False)
class NoiseCurves:
    """Means over the rows of a set that a seed reads. em, nll: by set, [choices, scales, seeds] float64; without_em,
    without_nll: [seeds], the same rows without noise.

    sets: `memorized`, and `non_memorized` where there is such a row; sizes: their rows.
    """

    choices: tuple[str, ...]
    scales: tuple[float, ...]
    unit: float
    sets: tuple[str, ...]
    sizes: dict[str, int]
    em: dict[str, np.ndarray]
    nll: dict[str, np.ndarray]
    without_em: dict[str, np.ndarray]
    without_nll: dict[str, np.ndarray]

    @staticmethod
    def of(scores: NoiseScores, before: ParagraphScores, groups: Mapping[str, np.ndarray]) -> NoiseCurves:
        """before: without noise, of the same N rows. groups: by set [N] bool; one without rows is left out."""
        groups = {name: member for name, member in groups.items() if member.any()}
        read = scores.read.numpy()

        def means(values: np.ndarray) -> dict[str, np.ndarray]:
            """[..., seeds, N] -> by set [..., seeds]."""
            found = {}
            for name, member in groups.items():
                counted = read & member
                found[name] = np.where(counted, values, 0.0).sum(-1) / counted.sum(-1)
            return found

        return NoiseCurves(
            scores.choices,
            scores.scales,
            scores.unit,
            tuple(groups),
            {name: int(member.sum()) for name, member in groups.items()},
            means(scores.em.numpy()),
            means(scores.nll.numpy()),
            means(np.broadcast_to(before.em.double().numpy(), read.shape)),
            means(np.broadcast_to(before.nll.double().numpy(), read.shape)),
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

    def without(self, metric: Metric, name: str) -> float:
        """Without noise, mean over seeds: each reads other rows."""
        return float(np.mean({"em": self.without_em, "nll": self.without_nll}[metric][name]))

    def halved_at(self, choice: str) -> int | None:
        """Place of the smallest scale at which memorized EM, mean over seeds, is at most half of what it is without noise.

        None where no scale does that, or where nothing was recited without noise.
        """
        without = self.without("em", "memorized")
        if not without:
            return None
        em = self.em["memorized"][self.choices.index(choice)].mean(1)
        below = np.flatnonzero(em <= without / 2)
        return int(below[0]) if len(below) else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def table(curves: NoiseCurves) -> dict[str, list[Any]]:
    """A row a choice, scale, seed and set; the choice `none` is the model without noise."""
    rows: list[dict[str, Any]] = []
    for name in curves.sets:
        none: dict[str, Any] = {"choice": "none", "scale": 0.0, "deviation": 0.0, "seed": None, "set": name}
        none |= {
            "paragraphs": curves.sizes[name],
            "em": curves.without("em", name),
            "nll": _finite(curves.without("nll", name)),
        }
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
    before = curves.without(metric, name)
    colour = MEMORIZED if name == "memorized" else NON_MEMORIZED
    styles: dict[str, dict[str, Any]] = {
        TOP: {"colour": colour},
        CONTROL: {"colour": OTHERS[2], "dash": "-.", "marker": "D"},
        RANDOM: {"colour": NEUTRAL, "dash": "--", "marker": "s"},
        MATCHED: {"colour": OTHERS[1], "dash": ":", "marker": "^"},
    }
    series = []
    for choice in curves.choices:
        values = [curves.over_seeds(metric, choice, name, place) for place in range(len(curves.scales))]
        has_band = curves.seeds > 1
        series.append(
            Series(
                label={TOP: "top weights of memorized", CONTROL: "top weights of non-memorized"}.get(
                    choice, f"{choice} weights"
                ),
                x=[0.0, *curves.scales],
                y=[_finite(before), *[_finite(float(np.mean(one))) for one in values]],
                low=[_finite(before), *[_finite(min(one)) for one in values]] if has_band else None,
                high=[_finite(before), *[_finite(max(one)) for one in values]] if has_band else None,
                **styles[choice],
            )
        )
    title = f"{name.replace('_', '-')} (n = {curves.sizes[name]})"
    return Lines(title, "noise, standard deviations of the weights", y_label, tuple(series))
