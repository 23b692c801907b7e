"""Checks of an analysis's options: the one line that names the option, its value, and what to set instead."""

from __future__ import annotations

import math

from memunlearn.errors import UserError


def require(holds: bool, option: str, value: object, what_to_do: str) -> None:
    """option: `<analysis>.<option>`. Raises UserError if it does not hold."""
    if not holds:
        raise UserError(f"analysis.{option}={value}{what_to_do}")


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object, at_least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least
