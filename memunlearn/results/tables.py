"""The numbers of `result.json` as text: which metrics there are, in which unit, and how many digits they deserve.

`before` and `after` are the dicts of `result.json`: per set a dict of metrics, or None where the set is empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

SetStats = Mapping[str, Any]
Sets = Mapping[str, SetStats | None]

MISSING = "-"
SET_ORDER = ("forget", "bystander", "near", "retain")


@dataclass(frozen=True)
class Metric:
    """One key of a set's dict. Shown is value x scale, in `unit`, with `digits` decimals."""

    key: str
    label: str
    unit: str
    digits: int
    scale: float = 1.0

    def value(self, stats: SetStats | None) -> str:
        number = self._number(stats)
        return MISSING if number is None else f"{number:.{self.digits}f}"

    def change(self, before: SetStats | None, after: SetStats | None) -> str:
        """After - before with its sign; a change that rounds to zero is +0."""
        old, new = self._number(before), self._number(after)
        if old is None or new is None:
            return MISSING
        return f"{round(new - old, self.digits) + 0.0:+.{self.digits}f}"

    def interval(self, stats: SetStats | None) -> str:
        """`low to high`, or nothing where there is no interval."""
        low, high = ((stats or {}).get(f"{self.key}_ci") or (None, None))[:2]
        if not (_is_number(low) and _is_number(high)):
            return ""
        return f"{low * self.scale:.{self.digits}f} to {high * self.scale:.{self.digits}f}"

    def known(self, *stats: SetStats | None) -> bool:
        return any(self._number(one) is not None for one in stats)

    def _number(self, stats: SetStats | None) -> float | None:
        number = (stats or {}).get(self.key)
        return number * self.scale if _is_number(number) else None


EM = Metric("em", "EM", "tokens", 1)
EM_P95 = Metric("em_p95", "EM, 95th percentile", "tokens", 1)
LONGEST_RUN = Metric("longest_run", "longest run", "tokens", 1)
LONGEST_COMMON_RUN = Metric("longest_common_run", "longest common run", "tokens", 1)
NLL = Metric("nll", "NLL", "nats per token", 3)
KL = Metric("kl", "KL", "nats per token", 4)
SELF_EM = Metric("self_em", "self-EM", "tokens", 1)
MEMORIZED = Metric("memorized", "memorized", "% of rows", 1, 100.0)
NON_MEMORIZED = Metric("non_memorized", "non-memorized", "% of rows", 1, 100.0)
ALTERNATIVE_EM = Metric("alternative_em", "EM with the alternative", "tokens", 1)
ALTERNATIVE_NLL = Metric("alternative_nll", "NLL of the alternative", "nats per token", 3)

TERMINAL_METRICS = (EM, LONGEST_RUN, LONGEST_COMMON_RUN, NLL, KL, SELF_EM, MEMORIZED)
ALTERNATIVE_METRICS = (ALTERNATIVE_EM, ALTERNATIVE_NLL)
ALL_METRICS = (EM, EM_P95, LONGEST_RUN, LONGEST_COMMON_RUN, MEMORIZED, NON_MEMORIZED, NLL, KL, SELF_EM, *ALTERNATIVE_METRICS)


def set_names(*results: Sets) -> list[str]:
    """Every set that is named anywhere, empty ones included: the four that are always reported, then the others."""
    named = list(dict.fromkeys(name for sets in results for name in sets))
    return [name for name in SET_ORDER if name in named] + [name for name in named if name not in SET_ORDER]


def rows_and_clusters(*stats: SetStats | None) -> tuple[str, str]:
    """`64 rows` and `61 clusters`, from the first dict that knows."""
    known = next((one for one in stats if one), {})
    return _counted(known.get("n"), "row"), _counted(known.get("clusters"), "cluster")


def in_part(metric: Metric, *stats: SetStats | None) -> str:
    """`200 of 1,280 rows` where a metric is a mean over a part of a set's rows (those that were decoded); else nothing."""
    known = next((one for one in stats if one and metric.known(one)), {})
    part, rows = known.get(f"{metric.key}_n"), known.get("n")
    return f"{part:,} of {_counted(rows, 'row')}" if part is not None and part != rows else ""


def _counted(number: int | None, noun: str) -> str:
    return f"{MISSING if number is None else format(number, ',')} {noun}{'' if number == 1 else 's'}"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
