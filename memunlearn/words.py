"""Numbers, intervals, p-values and counts in words: the one place that decides how they are written in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def number(value: float | None) -> str:
    """Three significant digits, never in powers of ten: `0.042`, `12.3`, `1,250`; `unknown` if None or not finite."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 3 if value == 0 else max(0, 2 - int(f"{abs(value):e}".partition("e")[2]))
    text = f"{value:.{min(digits, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_interval(numbers: Mapping[str, Any], unit: str = "", say: Callable[[float], str] = number) -> str:
    """`3.2 tokens (95 % interval 2.9 to 3.5)`; numbers: `value`, `low` and `high`, None where there is no interval.

    say: how each of the three is written.
    """
    said = f"{say(numbers['value'])} {unit}".strip()
    if numbers["low"] is None:
        return said
    return f"{said} (95 % interval {say(numbers['low'])} to {say(numbers['high'])})"


def p_value(value: float | None) -> str:
    """`p = 0.003`, `p < 0.001`, or nothing known."""
    if value is None:
        return "no p-value"
    return "p < 0.001" if value < 0.001 else f"p = {p_value_alone(value)}"


def p_value_alone(value: float) -> str:
    """`0.003`, `< 0.001`: where a table's head says that it is one."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def fixed(value: float, digits: int) -> str:
    """With so many decimals: `3.10`; what rounds to zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value: float, digits: int) -> str:
    """A difference, with its sign and so many decimals: `+0.25`; what rounds to zero is `+0.00`."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def to(interval: tuple[float, float], digits: int) -> str:
    """An interval: `2.8 to 3.6`."""
    return f"{fixed(interval[0], digits)} to {fixed(interval[1], digits)}"


def signed_to(interval: tuple[float, float], digits: int) -> str:
    """A difference's interval: `-3.10 to +0.25`."""
    return f"{signed(interval[0], digits)} to {signed(interval[1], digits)}"


def plural(noun: str, count: float | None = None) -> str:
    """`rows`; `row` for a count of 1. For nouns whose plural is an s."""
    return noun if count == 1 else f"{noun}s"


def counted(count: int, noun: str) -> str:
    """`1 row`, `1,280 rows`."""
    return f"{count:,} {plural(noun, count)}"


def readings(count: int, different: int, noun: str) -> str:
    """`32 rows`; where some were measured more than once: `80 readings of 32 rows`."""
    return counted(count, noun) if count == different else f"{counted(count, 'reading')} of {counted(different, noun)}"


def settings_text(settings: Mapping[str, int | float | str]) -> str:
    """`steps 30, lr 0.0002, top k 40`."""
    values = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in settings.items()}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def rows(count: int) -> str:
    """`1 row`, `1,280 rows`."""
    return counted(count, "row")


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def either(parts: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def capital(text: str) -> str:
    """The same with a large first letter."""
    return text[0].upper() + text[1:]


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
