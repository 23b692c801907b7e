"""Does noise on the top weights of memorized text hurt memorized text more than noise on merely important weights does?

Two things must not pass for it. Weights that matter hurt all text: so the control is the top weights of non-memorized text, at
the noise that does the model as much harm. And weights chosen for some rows suit just these: so others are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memunlearn.analyses.in_words import SIGNIFICANT
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval
from memunlearn.statistics.two_groups import NOTHING, Comparison, mean_difference


@dataclass(frozen=True, eq=False)
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
class Specificity:
    """Mean rises of NLL, nats a token, where noise on the top and on the control weights harms the model alike.

    scale: of the noise on the top weights; control_scale: of that on the control's; harm: to own text. None where no scales
    match. top, control: (memorized, non-memorized) text with noise on these weights.
    difference: memorized minus non-memorized with the top weights, minus the same with the control; its interval over clusters.
    by_seed: the same in each seed; over_seeds: their mean's 95 % interval (Student's t), None below SEEDS_AT_LEAST seeds.
    """

    scale: float | None
    control_scale: float | None
    harm: float | None
    top: tuple[float, float] | None
    control: tuple[float, float] | None
    difference: Comparison
    by_seed: tuple[float, ...]
    over_seeds: tuple[float, float] | None

    @property
    def enough(self) -> bool:
        """Whether there are clusters and seeds enough to tell a difference."""
        return self.difference.low is not None and self.over_seeds is not None

    @property
    def sign(self) -> int:
        """1: memorized text suffers more than with the control, -1: less; 0 where chance over paragraphs or seeds would do."""
        found, seeds = self.difference, self.over_seeds
        if found.low is None or found.high is None or seeds is None:
            return 0
        if found.p_value is not None and found.p_value >= SIGNIFICANT:
            return 0
        return int(found.low > 0 and seeds[0] > 0) - int(found.high < 0 and seeds[1] < 0)


UNMATCHED = Specificity(None, None, None, None, None, NOTHING, (), None)


def specificity(rises: Rises, at: int, seed: int) -> Specificity:
    """Compares at the scale with place `at`, or at the largest below it whose harm noise on the control weights does, too.

    UNMATCHED where there is none. seed: of resampling and permuting.
    """
    for place in range(at, -1, -1):
        matched = _matched(rises, place)
        if matched is not None:
            return _compared(rises, place, *matched, seed)
    return UNMATCHED


def _matched(rises: Rises, place: int) -> tuple[float, np.ndarray] | None:
    """The least noise on the control weights that does the harm of this noise on the top ones, and the rises [seeds, N] there.

    Harm is a mean over seeds. Between scales by straight lines, from no noise on; no noise where the top weights' does no harm.
    None where there is none, and where noise broke the model.
    """
    harm = _mean(rises.top[place], rises.own, rises.read)
    control = np.concatenate([np.zeros_like(rises.control[:1]), rises.control])
    harms = np.array([_mean(values, rises.own, rises.read) for values in control])
    reached = np.flatnonzero(harms >= harm)
    if not len(reached) or not np.isfinite(rises.top[place][rises.read]).all():
        return None
    after = int(reached[0])
    if not after:
        return 0.0, control[0]
    share = (harm - harms[after - 1]) / (harms[after] - harms[after - 1])
    rows = control[after - 1] + share * (control[after] - control[after - 1])
    if not np.isfinite(rows[rises.read]).all():
        return None
    scales = np.r_[0.0, rises.scales]
    return float(scales[after - 1] + share * (scales[after] - scales[after - 1])), rows


def _compared(rises: Rises, place: int, control_scale: float, control: np.ndarray, seed: int) -> Specificity:
    """control: [seeds, N]."""
    top = rises.top[place]
    difference = np.where(rises.read, top - control, np.nan)
    groups = rises.memorized, rises.non_memorized
    by_seed = [float(np.nanmean(row[groups[0]]) - np.nanmean(row[groups[1]])) for row in difference]
    compared = (groups[0] | groups[1]) & rises.read.any(0)
    of_row = np.nanmean(difference[:, compared], axis=0)
    return Specificity(
        float(rises.scales[place]),
        control_scale,
        _mean(top, rises.own, rises.read),
        (_mean(top, groups[0], rises.read), _mean(top, groups[1], rises.read)),
        (_mean(control, groups[0], rises.read), _mean(control, groups[1], rises.read)),
        mean_difference(of_row, groups[0][compared], rises.clusters[compared], seed),
        tuple(by_seed),
        mean_interval(by_seed)[1] if len(by_seed) >= SEEDS_AT_LEAST else None,
    )


def _mean(values: np.ndarray, group: np.ndarray, read: np.ndarray) -> float:
    """Over the rows of a group that a seed reads, and over seeds: values, read [seeds, N], group [N]."""
    return float(np.mean([row[group & there].mean() for row, there in zip(values, read, strict=True)]))
