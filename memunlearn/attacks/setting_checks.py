"""What attacks ask of settings that are lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from memunlearn.errors import UserError


def check_list(setting: str, values: Any, fits: Callable[[Any], bool], wanted: str, *, empty: bool = False) -> None:
    """Raises UserError unless values is a list of different values that all fit. empty: whether it may hold none.

    setting: `pruning.shares`; wanted: what the list is of, `shares above 0 and below 1, such as [0.1, 0.3]`.
    """
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_list or not (values or empty) or not all(map(fits, values)) or len(set(values)) < len(values):
        said = list(values) if is_list else values
        raise UserError(f"attacks.{setting}={said}: give a list of {wanted}, each once")


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_between(low: float, high: float) -> Callable[[Any], bool]:
    """Whether a value is a number above low and below high."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low < value < high


def is_rate(value: Any) -> bool:
    return is_between(0, math.inf)(value)
