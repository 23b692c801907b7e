"""The numbers of `result.json` as text, as tables show them.

`before` and `after` are the dicts of `result.json`: per set a dict of numbers, or None where the set is empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from memunlearn.paragraphs.near_parts import NEAR_FORGOTTEN, NEAR_OTHER
from memunlearn.scoring.metric import Metric
from memunlearn.words import counted, fixed, plural, signed, to

SetStats = Mapping[str, Any]
Sets = Mapping[str, SetStats | None]

MISSING = "-"
SET_ORDER = ("forget", "bystander", "near", NEAR_FORGOTTEN, NEAR_OTHER, "retain")


def value_text(metric: Metric, stats: SetStats | None) -> str:
    """In the metric's unit, with its digits: `3.1`."""
    number = _number(metric, stats)
    return MISSING if number is None else fixed(number, metric.digits)


def change_text(metric: Metric, before: SetStats | None, after: SetStats | None) -> str:
    """After - before with its sign; a change that rounds to zero is +0."""
    old, new = _number(metric, before), _number(metric, after)
    return MISSING if old is None or new is None else signed(new - old, metric.digits)


def interval_text(metric: Metric, stats: SetStats | None) -> str:
    """`2.8 to 3.6`, or nothing where there is no interval."""
    bounds = ((stats or {}).get(f"{metric.key}_ci") or (None, None))[:2]
    low, high = (bound * metric.unit.scale if _is_number(bound) else None for bound in bounds)
    return "" if low is None or high is None else to((low, high), metric.digits)


def is_known(metric: Metric, *stats: SetStats | None) -> bool:
    return any(_number(metric, of_set) is not None for of_set in stats)


def set_names(*results: Sets) -> list[str]:
    """Every set that is named anywhere, empty ones included: those that are always reported, then the others.

    The parts of `near` are left out where it is empty itself.
    """
    named = list(dict.fromkeys(name for sets in results for name in sets))
    if not any(sets.get("near") for sets in results):
        named = [name for name in named if name not in (NEAR_FORGOTTEN, NEAR_OTHER)]
    return [name for name in SET_ORDER if name in named] + [name for name in named if name not in SET_ORDER]


def rows_and_clusters(*stats: SetStats | None) -> tuple[str, str]:
    """`64 rows` and `61 clusters`, from the first dict that knows."""
    first = next(filter(None, stats), {})
    return _counted(first.get("n"), "row"), _counted(first.get("clusters"), "cluster")


def in_part(metric: Metric, *stats: SetStats | None) -> str:
    """`200 of 1,280 rows` where a metric is a mean over a part of a set's rows (those that were decoded); else nothing."""
    first = next((of_set for of_set in stats if of_set and is_known(metric, of_set)), {})
    part, rows = first.get(f"{metric.key}_n"), first.get("n")
    return f"{part:,} of {_counted(rows, 'row')}" if part is not None and part != rows else ""


def _number(metric: Metric, stats: SetStats | None) -> float | None:
    number = (stats or {}).get(metric.key)
    return number * metric.unit.scale if _is_number(number) else None


def _counted(number: int | None, noun: str) -> str:
    return f"{MISSING} {plural(noun)}" if number is None else counted(number, noun)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
