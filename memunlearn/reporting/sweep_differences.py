"""A paired difference between two settings: per seed, and over seeds with an interval, a p-value, and their units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.statistics.intervals import mean_with_interval
from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval, paired_p_value, two_level_interval

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
    and the cluster (or trial) that each belongs to; a and b are then the means over those rows."""

    seed: str
    a: float
    b: float
    differences: tuple[float, ...] = ()
    clusters: tuple[int, ...] = ()

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % over the clusters (or trials) of these two runs, conditional on them; None where there are no rows."""
        return mean_with_interval(self.differences, self.clusters)[1] if self.differences else None


@dataclass(frozen=True)
class Difference:
    """a - b, mean over seeds. interval and p: None below SEEDS_AT_LEAST seeds. unit: what was resampled for the interval.

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
            two_level_interval([(pair.differences, pair.clusters) for pair in pairs])[1] if by_row else mean_interval(gaps)[1]
        )
        p = paired_p_value(gaps)
    mean_a, mean_b = (sum(values) / len(pairs) for values in ([pair.a for pair in pairs], [pair.b for pair in pairs]))
    return Difference(quantity, moment, tuple(pairs), mean_a, mean_b, mean, interval, p, unit, note)


def sentence(found: Difference, a: str, b: str) -> str:
    """Sign, size and interval in words; where one seed is all there is, the interval within its two runs."""
    quantity = found.quantity
    size = quantity.text(abs(found.mean))
    if float(size) == 0:
        said = f"{quantity.label} is on average the same with {a} as with {b} (to {quantity.digits} decimals)"
    else:
        said = f"{quantity.label} is {size} {quantity.unit} {'higher' if found.mean > 0 else 'lower'} with {a} than with {b}"
    means = f"{quantity.text(found.mean_a)} and {quantity.text(found.mean_b)}"
    when = f"{found.moment[0].upper()}{found.moment[1:]}" + (f" ({found.note})" if found.note else "")
    return f"{when}, {said} ({means}; {certainty(found)})."


def certainty(found: Difference) -> str:
    """The interval with its unit, the p-value and the number of seeds, or why there is none."""
    quantity, seeds = found.quantity, len(found.pairs)
    counted = f"{seeds} seed{'' if seeds == 1 else 's'}"
    if found.interval is None:
        within = found.pairs[0].interval if seeds == 1 else None
        if within is None:
            return f"{counted}; {TOO_FEW}"
        unit = found.unit.rpartition(" ")[2]
        return f"{counted}; 95 % {interval_text(quantity, within)} over {unit}, conditional on this run; {TOO_FEW} across runs"
    holds = ", which holds 0" if found.interval[0] <= 0 <= found.interval[1] else ""
    assert found.p is not None
    return f"95 % interval {interval_text(quantity, found.interval)}{holds}, {found.unit}; p {p_text(found.p)}; {counted}"


def interval_text(quantity: Quantity, interval: tuple[float, float]) -> str:
    """`-3.10 to +0.25`."""
    low, high = (f"{round(bound, quantity.digits) + 0.0:+.{quantity.digits}f}" for bound in interval)
    return f"{low} to {high}"


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
