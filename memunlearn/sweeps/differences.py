"""A paired difference between two settings: per seed, and over seeds with an interval, a p-value, and their units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memunlearn.statistics.seeds import SEEDS_AT_LEAST, mean_interval, paired_p_value, two_level_interval
from memunlearn.statistics.two_way import mean_over_units
from memunlearn.sweeps.quantities import Quantity

SEEDS_AND_CLUSTERS = "seeds x clusters"
SEEDS_AND_TRIALS = "seeds x trials"
SEEDS_ONLY = "seeds"


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
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

    @property
    def is_borne_out(self) -> bool:
        """Whether its direction is more than chance: there is an interval over seeds and it does not hold 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


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
    gaps = [pair.a - pair.b for pair in pairs]
    interval, p = None, None
    if len(pairs) >= SEEDS_AT_LEAST:
        of_rows = [(pair.differences, pair.units) for pair in pairs]
        interval = two_level_interval(of_rows)[1] if by_row else mean_interval(gaps)[1]
        p = paired_p_value(gaps)
    return Difference(
        quantity=quantity,
        moment=moment,
        pairs=tuple(pairs),
        mean_a=sum(pair.a for pair in pairs) / len(pairs),
        mean_b=sum(pair.b for pair in pairs) / len(pairs),
        mean=sum(gaps) / len(gaps),
        interval=interval,
        p=p,
        unit=SEEDS_ONLY if not by_row else SEEDS_AND_TRIALS if trials else SEEDS_AND_CLUSTERS,
        note=note,
    )
