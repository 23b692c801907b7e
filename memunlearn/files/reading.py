"""Reading small text files that may be damaged, or a stranger's: one line says which and why, whatever is in them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from memunlearn.errors import UserError

DEEPEST = 50
LARGEST_WHOLE = 2**63


def read_text(path: Path, remedy: str) -> str:
    """The file's text. remedy: what to do where it cannot be read. Raises UserError where it is missing or not UTF-8."""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}): {remedy}") from error


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in the file. Raises UserError where it is missing, not JSON, no object, or see `parse_json`."""
    text = read_text(path, remedy)
    try:
        data = parse_json(text)
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}): {remedy}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a JSON object: {remedy}")
    return data


def parse_json(text: str) -> Any:
    """What `json.loads` gives. Raises ValueError for anything that no file of ours holds: what is not JSON, numbers that are
    not finite or have more than 63 bits, and what is nested deeper than 50."""
    try:
        data = json.loads(text, parse_constant=_not_finite, parse_float=_finite, parse_int=_whole)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST}") from error
    check_depth(data)
    return data


def check_depth(data: Any) -> None:
    """Raises ValueError where dicts and lists are nested deeper than 50, which functions that call themselves cannot follow."""
    level, depth = [data], 0
    while level := [child for one in level for child in _children(one)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST}")


def _children(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return list(data.values())
    return data if isinstance(data, list) else []


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > LARGEST_WHOLE:
        raise ValueError(f"the number {text[:20]}{'...' if len(text) > 20 else ''} is too large")
    return number


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (isinstance(error, OSError) and error.strerror) or str(error).splitlines()[0]
