"""A paired difference between two settings: per seed, and over seeds with an interval, a p-value, and their units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.statistics.intervals import too_few_clusters
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval, paired_p_value, two_level_interval
from memunlearn.statistics.two_way import mean_over_units

TOO_FEW = f"fewer than {SEEDS_AT_LEAST} seeds: no interval"
SEEDS_AND_CLUSTERS = "seeds x clusters"
SEEDS_AND_TRIALS = "seeds x trials"
SEEDS_ONLY = "seeds"


@dataclass(frozen=True)
class Quantity:
    """What is compared: its name, unit, and the decimals that it deserves."""

    label: str
    unit: str
    digits: int

    def text(self, value: float) -> str:
        return f"{round(value, self.digits) + 0.0:.{self.digits}f}"


FORGET_EM = Quantity("forget EM", "tokens", 2)
BYSTANDER_EM = Quantity("bystander EM", "tokens", 2)
BYSTANDER_VAL_EM = Quantity("bystander_val EM", "tokens", 2)
RETAIN_KL = Quantity("retain KL", "nats per token", 4)
RETAIN_VAL_KL = Quantity("retain_val KL", "nats per token", 4)
STEPS = Quantity("the number of steps", "steps", 1)


@dataclass(frozen=True)
class PairedRuns:
    """One seed's two runs, a and b, in one quantity. For a quantity per paragraph also the rows that both have: a - b of each,
    the cluster of each and, one paragraph at a time, that of its trial's paragraph; a and b are then the means over those rows.
    """

    seed: str
    a: float
    b: float
    differences: tuple[float, ...] = ()
    clusters: tuple[int, ...] = ()
    trials: tuple[int, ...] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % over the clusters (and trials) of these two runs, conditional on them; None where there are no rows, or too few
        clusters."""
        return mean_over_units(self.differences, self.clusters, self.trials)[1] if self.differences else None

    @property
    def units(self) -> tuple[int, ...]:
        """What is resampled within a seed: the trials' clusters where there are trials, else the rows'."""
        return self.clusters if self.trials is None else self.trials

    @property
    def over(self) -> str:
        return "clusters" if self.trials is None or self.trials == self.clusters else "clusters and trials"


@dataclass(frozen=True)
class Difference:
    """a - b, mean over seeds. interval and p: None below SEEDS_AT_LEAST seeds; interval also where all seeds' differences are
    the same. unit: what was resampled for the interval.

    p: two-sided, from flipping the signs of the seeds' differences. note: what else has to be said of it.
    """

    quantity: Quantity
    moment: str
    pairs: tuple[PairedRuns, ...]
    mean_a: float
    mean_b: float
    mean: float
    interval: tuple[float, float] | None
    p: float | None
    unit: str
    note: str = ""


def difference(
    quantity: Quantity, moment: str, pairs: Sequence[PairedRuns], note: str = "", trials: bool = False
) -> Difference | None:
    """None where there are no pairs. trials: the rows' units are trials rather than clusters.

    Pairs with a run that diverged to NaN in this quantity are left out, and the note counts them.
    """
    given, pairs = len(pairs), [pair for pair in pairs if math.isfinite(pair.a) and math.isfinite(pair.b)]
    if given > len(pairs):
        note = "; ".join([*([note] if note else []), f"{given - len(pairs)} of {given} pairs left out: not a number"])
    if not pairs:
        return None
    by_row = all(pair.differences for pair in pairs)
    unit = (SEEDS_AND_TRIALS if trials else SEEDS_AND_CLUSTERS) if by_row else SEEDS_ONLY
    gaps = [pair.a - pair.b for pair in pairs]
    mean, interval, p = sum(gaps) / len(gaps), None, None
    if len(pairs) >= SEEDS_AT_LEAST:
        interval = (
            two_level_interval([(pair.differences, pair.units) for pair in pairs])[1] if by_row else mean_interval(gaps)[1]
        )
        p = paired_p_value(gaps)
    mean_a, mean_b = (sum(values) / len(pairs) for values in ([pair.a for pair in pairs], [pair.b for pair in pairs]))
    return Difference(quantity, moment, tuple(pairs), mean_a, mean_b, mean, interval, p, unit, note)


def sentence(found: Difference, a: str, b: str) -> str:
    """Sign and size in words, the sign only where an interval bears it out; the means, and how certain they are."""
    quantity = found.quantity
    size = quantity.text(abs(found.mean))
    if float(size) == 0:
        said = f"{quantity.label} is on average the same with {a} as with {b} (to {quantity.digits} decimals)"
    elif bears_out(found):
        said = f"{quantity.label} is {size} {quantity.unit} {'higher' if found.mean > 0 else 'lower'} with {a} than with {b}"
    else:
        said = f"{quantity.label} with {a} cannot be told from that with {b}"
    means = f"{quantity.text(found.mean_a)} and {quantity.text(found.mean_b)}"
    when = f"{found.moment[0].upper()}{found.moment[1:]}" + (f" ({found.note})" if found.note else "")
    return f"{when}, {said} ({means}; {certainty(found)})."


def bears_out(found: Difference) -> bool:
    """Whether the direction of the difference is more than chance: there is an interval over seeds and it does not hold 0."""
    return found.interval is not None and not found.interval[0] <= 0 <= found.interval[1]


def certainty(found: Difference) -> str:
    """The interval with its unit, the p-value and the number of seeds, or why there is none."""
    quantity, seeds = found.quantity, len(found.pairs)
    counted = f"{seeds} seed{'' if seeds == 1 else 's'}"
    if found.p is None:
        if seeds > 1 or not found.pairs[0].differences:
            return f"{counted}; {TOO_FEW}"
        pair = found.pairs[0]
        if (within := pair.interval) is None:
            return f"{counted}; {no_interval_within(pair)}; {TOO_FEW} across runs"
        text = f"95 % interval {interval_text(quantity, within)} over {pair.over}, conditional on this run"
        return f"{counted}; {text}; {TOO_FEW} across runs"
    if found.interval is None:
        return f"{no_interval(found)}; p {p_text(found.p)}; {counted}"
    holds = "" if bears_out(found) else ", which holds 0"
    return f"95 % interval {interval_text(quantity, found.interval)}{holds}, {found.unit}; p {p_text(found.p)}; {counted}"


def no_interval(found: Difference) -> str:
    """Why there is no interval over seeds."""
    return TOO_FEW if found.p is None else "the same difference in every seed: no interval"


def no_interval_within(pair: PairedRuns) -> str:
    units = min(len(set(pair.clusters)), len(set(pair.units)))
    few = too_few_clusters(units)
    return f"no interval within the run: {few or 'the same difference in every cluster'}"


def interval_text(quantity: Quantity, interval: tuple[float, float]) -> str:
    """`-3.10 to +0.25`."""
    low, high = (f"{round(bound, quantity.digits) + 0.0:+.{quantity.digits}f}" for bound in interval)
    return f"{low} to {high}"


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
