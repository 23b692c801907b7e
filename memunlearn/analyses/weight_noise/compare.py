"""Does noise on the top weights of memorized text hurt memorized text more than noise on merely important weights does?

Two things must not pass for it. Weights that matter hurt all text: so the control is the top weights of non-memorized text,
with the same noise, and with the noise that does the model as much harm. And weights chosen for some rows suit just these: so
others are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from memunlearn.analyses.claims import SIGNIFICANT
from memunlearn.analyses.weight_noise.measure import CONTROL, TOP, Measured
from memunlearn.statistics.estimates import number_or_none
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval
from memunlearn.statistics.two_groups import Comparison, mean_difference

Metric = Literal["em", "nll"]
METRICS: tuple[Metric, ...] = ("em", "nll")
# Nats a token: where noise harms the model less than this, no noise at all on the control weights does the same.
NO_HARM = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class Rises:
    """How much NLL is above that without noise, nats a token.

    top, control: [scales, seeds, N] with noise on either choice of weights; whatever stands in rows that are not read.
    read: [seeds, N] bool. scales: [scales], rising. memorized, non_memorized, own: [N] bool, which rows are what; own are the
    model's own continuations of non-memorized prefixes: the rise of their NLL is the harm that noise does to the model.
    clusters: [N] labels.
    """

    top: np.ndarray
    control: np.ndarray
    read: np.ndarray
    scales: np.ndarray
    memorized: np.ndarray
    non_memorized: np.ndarray
    own: np.ndarray
    clusters: np.ndarray


@dataclass(frozen=True)
class Contrast:
    """How much more memorized than non-memorized text suffers with the top weights than with the control, nats a token.

    control_scale: of the noise on the control. control: mean rises of (memorized, non-memorized) text there.
    difference: (memorized - non-memorized) with the top weights minus the same with the control; its interval over clusters.
    by_seed: the same in each seed; over_seeds: their mean's 95 % interval (Student's t), None below SEEDS_AT_LEAST seeds.
    """

    control_scale: float
    control: tuple[float, float]
    difference: Comparison
    by_seed: tuple[float, ...]
    over_seeds: tuple[float, float] | None

    @property
    def enough(self) -> bool:
        """Whether there are clusters and seeds enough to tell a difference."""
        return self.difference.low is not None and self.over_seeds is not None

    @property
    def sign(self) -> int:
        """1: more, -1: less; 0 where chance over paragraphs or over seeds would do."""
        found, seeds = self.difference, self.over_seeds
        if found.low is None or found.high is None or seeds is None:
            return 0
        if found.p_value is not None and found.p_value >= SIGNIFICANT:
            return 0
        return int(found.low > 0 and seeds[0] > 0) - int(found.high < 0 and seeds[1] < 0)


@dataclass(frozen=True)
class Specificity:
    """scale: of the noise on the top weights; harm: that it does to own text. top: mean rises of memorized, non-memorized text.

    same_noise: against the control with the same noise. same_harm: with the noise that does the same harm.
    """

    scale: float
    harm: float
    top: tuple[float, float]
    same_noise: Contrast
    same_harm: Contrast

    @property
    def enough(self) -> bool:
        return self.same_noise.enough and self.same_harm.enough

    @property
    def sign(self) -> int:
        """1: memorized text suffers more than with the control, -1: less, by both contrasts; else 0.

        One alone is not enough: with the same noise, weights that matter more to all text stand out, and where much noise does
        no more harm than some, the same harm is no measure of it.
        """
        return self.same_noise.sign if self.same_noise.sign == self.same_harm.sign else 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """Means over the rows of a set that a seed reads.

    values: by metric and set, [choices, scales, seeds] float64. without: the same rows without noise, mean over seeds, each of
    which reads other rows. sizes: rows by set: `memorized`, and `non_memorized` where there is such a row.
    """

    choices: Sequence[str]
    scales: Sequence[float]
    seeds: int
    sizes: dict[str, int]
    values: dict[tuple[Metric, str], np.ndarray]
    without: dict[tuple[Metric, str], float]

    def of(self, metric: Metric, choice: str, name: str) -> np.ndarray:
        """[scales, seeds]."""
        values: np.ndarray = self.values[metric, name][self.choices.index(choice)]
        return values

    def mean(self, metric: Metric, choice: str, name: str, place: int) -> float | None:
        """Over seeds; None where noise broke the model."""
        return number_or_none(float(np.mean(self.of(metric, choice, name)[place])))

    def halved_at(self, choice: str) -> int | None:
        """Place of the smallest scale at which memorized EM, mean over seeds, is at most half of what it is without noise.

        None where no scale does that, or where nothing was recited without noise.
        """
        without = self.without["em", "memorized"]
        below = np.flatnonzero(self.of("em", choice, "memorized").mean(1) <= without / 2)
        return int(below[0]) if without and len(below) else None

    @property
    def compared_at(self) -> int:
        """Place of the scale that is told of: the least that halves memorized EM, or the largest."""
        halved = self.halved_at(TOP)
        return len(self.scales) - 1 if halved is None else halved


def compare(measured: Measured, seed: int) -> tuple[Curves, Specificity | None]:
    """The curves; and what the control says of them, None without one, or where it never does as much harm."""
    curves = curves_of(measured)
    scores = measured.scores
    if CONTROL not in curves.choices:
        return curves, None
    rises = scores["nll"].numpy() - measured.before.nll.double().numpy()
    top, control = (rises[curves.choices.index(choice)] for choice in (TOP, CONTROL))
    given = Rises(
        top=top,
        control=control,
        read=scores["read"].numpy(),
        scales=np.array(curves.scales),
        memorized=measured.of("memorized"),
        non_memorized=measured.of("non_memorized"),
        own=measured.of("own"),
        clusters=measured.clusters,
    )
    return curves, specificity(given, curves.compared_at, seed)


def curves_of(measured: Measured) -> Curves:
    scores, read = measured.scores, measured.scores["read"].numpy()
    members = {name: measured.of(name) for name in ("memorized", "non_memorized") if measured.of(name).any()}
    before = {"em": measured.before.em, "nll": measured.before.nll}
    values: dict[tuple[Metric, str], np.ndarray] = {}
    without: dict[tuple[Metric, str], float] = {}
    for name, member in members.items():
        counted = read & member
        for metric in METRICS:
            values[metric, name] = np.where(counted, scores[metric].numpy(), 0.0).sum(-1) / counted.sum(-1)
            plain = np.where(counted, before[metric].double().numpy(), 0.0).sum(-1) / counted.sum(-1)
            without[metric, name] = float(np.mean(plain))
    sizes = {name: int(member.sum()) for name, member in members.items()}
    choices, scales = scores.labels["choice"], scores.labels["scale"]
    return Curves(choices=choices, scales=scales, seeds=len(read), sizes=sizes, values=values, without=without)


def specificity(rises: Rises, at: int, seed: int) -> Specificity | None:
    """Compares at the scale with place `at`, or at the largest below it whose harm noise on the control weights does, too.

    None where there is none. seed: of resampling and permuting.
    """
    for place in range(at, -1, -1):
        matched = _matched(rises, place)
        if matched is not None:
            top, same = rises.top[place], rises.control[place]
            return Specificity(
                float(rises.scales[place]),
                _mean(top, rises.own, rises.read),
                _means(top, rises),
                _contrast(rises, top, same, float(rises.scales[place]), seed),
                _contrast(rises, top, matched[1], matched[0], seed),
            )
    return None


def _matched(rises: Rises, place: int) -> tuple[float, np.ndarray] | None:
    """The noise on the control weights that does the harm of this noise on the top ones, and the rises [seeds, N] there.

    Harm is a mean over seeds. Between scales by straight lines, from no noise on; where several do that harm, the one nearest
    to that on the top weights. None where there is none, and where noise broke the model.
    """
    scales = np.r_[0.0, rises.scales]
    control = np.concatenate([np.zeros_like(rises.control[:1]), rises.control])
    harm = _mean(rises.top[place], rises.own, rises.read)
    harms = np.array([_mean(values, rises.own, rises.read) for values in control])
    if not np.isfinite(np.stack([rises.top[place], rises.control[place]])[:, rises.read]).all():
        return None
    if harm <= NO_HARM:
        return 0.0, control[0]
    found = []
    for before, after in itertools.pairwise(range(len(scales))):
        low, high = sorted((harms[before], harms[after]))
        if low <= harm <= high and low < high:
            share = (harm - harms[before]) / (harms[after] - harms[before])
            scale = scales[before] + share * (scales[after] - scales[before])
            found.append((abs(scale - rises.scales[place]), float(scale), before, share))
    if not found:
        return None
    _, scale, before, share = min(found)
    rows = control[before] + share * (control[before + 1] - control[before])
    return (scale, rows) if np.isfinite(rows[rises.read]).all() else None


def _contrast(rises: Rises, top: np.ndarray, control: np.ndarray, scale: float, seed: int) -> Contrast:
    """top, control: [seeds, N]."""
    difference = np.where(rises.read, top - control, np.nan)
    groups = rises.memorized, rises.non_memorized
    by_seed = [float(np.nanmean(row[groups[0]]) - np.nanmean(row[groups[1]])) for row in difference]
    compared = (groups[0] | groups[1]) & rises.read.any(0)
    of_row = np.nanmean(difference[:, compared], axis=0)
    return Contrast(
        scale,
        _means(control, rises),
        mean_difference(of_row, groups[0][compared], rises.clusters[compared], seed),
        tuple(by_seed),
        mean_interval(by_seed)[1] if len(by_seed) >= SEEDS_AT_LEAST else None,
    )


def _means(values: np.ndarray, rises: Rises) -> tuple[float, float]:
    return _mean(values, rises.memorized, rises.read), _mean(values, rises.non_memorized, rises.read)


def _mean(values: np.ndarray, group: np.ndarray, read: np.ndarray) -> float:
    """Over the rows of a group that a seed reads, and over seeds: values, read [seeds, N], group [N]."""
    return float(np.mean([row[group & there].mean() for row, there in zip(values, read, strict=True)]))
