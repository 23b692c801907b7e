"""What is computed of the values before they are drawn: boxes, densities, ranges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from memunlearn.charts.description import Value

WHISKER = 1.5
GRID = 60
"""Places at which a density is drawn."""
NARROWEST = 0.02
"""Of a density's kernel, as a share of the values' range: whole numbers, and a few outliers, stay visible."""


def finite(values: Iterable[Value]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]


def short(value: Value) -> Value:
    """Six digits are more than a screen shows. None where it is not a finite number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


@dataclass(frozen=True, kw_only=True)
class Box:
    """Quartiles, mean, and the outermost values within 1.5 interquartile ranges of the quartiles."""

    low: float
    first: float
    median: float
    third: float
    high: float
    mean: float


def box_of(values: Iterable[Value]) -> Box | None:
    """Of all that are finite; None where there are none."""
    known = np.asarray(finite(values))
    if not len(known):
        return None
    first, median, third = np.percentile(known, [25, 50, 75])
    reach = WHISKER * (third - first)
    inside = known[(known >= first - reach) & (known <= third + reach)]
    return Box(
        low=float(inside.min()),
        first=float(first),
        median=float(median),
        third=float(third),
        high=float(inside.max()),
        mean=float(known.mean()),
    )


def density(values: Iterable[Value]) -> tuple[list[float], list[float]]:
    """Places [GRID] from the smallest to the largest value, and there a Gaussian kernel density whose peak is 1.

    Nothing where no two values differ. The kernel's width is Silverman's (1986, eq. 3.31), of the smaller of the standard
    deviation and the scaled interquartile range, and at least NARROWEST of the range.
    """
    known = np.asarray(finite(values))
    if len(known) == 0 or known.min() == known.max():
        return [], []
    first, third = np.percentile(known, [25, 75])
    spreads = [spread for spread in (known.std(), (third - first) / 1.34) if spread > 0]
    width = max(0.9 * min(spreads) * len(known) ** -0.2, NARROWEST * np.ptp(known))
    places = np.linspace(known.min(), known.max(), GRID)
    there, counts = np.unique(known, return_counts=True)
    heights = (np.exp(-0.5 * ((places[:, None] - there) / width) ** 2) * counts).sum(1)
    return places.tolist(), (heights / heights.max()).tolist()


def reach(values: Iterable[Value], log: bool = False, with_zero: bool = False) -> tuple[float, float]:
    """Smallest and largest of the values that an axis can show, never the same two."""
    known = [value for value in finite(values) if value > 0 or not log]
    if with_zero and not log:
        known.append(0.0)
    low, high = (min(known), max(known)) if known else (1.0, 10.0) if log else (0.0, 1.0)
    if low < high:
        return low, high
    margin = abs(low) / 10
    return (low / 2, high * 2) if log else (low - margin, high + (margin or 1.0))


def without(values: Sequence[Value], log: bool) -> list[Value]:
    """In six digits; None for what an axis cannot show."""
    return [None if log and value is not None and value <= 0 else short(value) for value in values]
