"""Whether a run's files have the shape that a sweep's page counts on: a file can be whole JSON and still be damaged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow
from pyarrow import types

from memunlearn.scoring.metric import OfMean
from memunlearn.scoring.metrics import METRICS, metrics_from

LARGEST = 1e12  # no EM, NLL, step or number of weights comes near it; sums of larger ones overflow
GROUPS = ("objective", "mask", "attribution", "protocol", "paragraphs", "seeds")
ROW_COLUMNS = {"set": types.is_string, "index": types.is_integer, "cluster": types.is_integer}
OTHERS = ("origin", "alternative")


def number_columns() -> tuple[str, ...]:
    """What the page of a sweep reads of a paragraph beside these: numbers."""
    return ("trial", *(column for metric in METRICS for column in metric.columns))


def check_result(result: Mapping[str, Any]) -> None:
    """Raises ValueError, which names the place, where a result.json is not what a run writes."""
    for when in ("before", "after"):
        for name, stats in _mapping(result.get(when), when).items():
            for key, value in _group(stats, f"{when}.{name}").items():
                _check_cell(value, key, f"{when}.{name}.{key}")
    for name in ("steps", "kept_step"):
        _check_number(result.get(name), name)
    for name, worst in _group(result.get("attacks"), "attacks").items():
        for key, value in _group(worst, f"attacks.{name}").items():
            _check_number(value, f"attacks.{name}.{key}")
    mask = _group(result.get("mask"), "mask")
    for name in ("k", "eligible", "trained"):
        _check_number(mask.get(name), f"mask.{name}")
    for name, value in _group(result.get("seconds"), "seconds").items():
        _check_number(value, f"seconds.{name}")
    for name in ("stopped_because", "done"):
        _check_text(result.get(name), name)
    check_config(result.get("config"))


def check_config(config: Any) -> None:
    """Raises ValueError where a config lacks the groups' shape; None is no config at all."""
    config = _group(config, "config")
    for name in GROUPS:
        _group(config.get(name), f"config.{name}")
    for name, value in {"seed": config.get("seed"), **(config.get("seeds") or {})}.items():
        if isinstance(value, bool) or not isinstance(value, int | None):
            raise ValueError(f"the seed {name} is {str(value)[:40]!r}")


def check_rows(table: pyarrow.Table) -> None:
    """Raises ValueError where one of these columns of paragraphs.parquet is of another type, or a number in it is out of
    range."""
    for name, is_right in ROW_COLUMNS.items():
        if name not in table.column_names:
            raise ValueError(f"it has no column {name}")
        if not is_right(table.schema.field(name).type) or table[name].null_count:
            raise ValueError(f"its column {name} is {table.schema.field(name).type}, or has nulls")
    for name in [name for name in number_columns() if name in table.column_names]:
        kind = table.schema.field(name).type
        if not _is_number(kind):
            raise ValueError(f"its column {name} is {kind}")
        if types.is_floating(kind) and any(value is not None and abs(value) > LARGEST for value in table[name].to_pylist()):
            raise ValueError(f"its column {name} has a number beyond {LARGEST:g}")


def check_curve(rows: list[dict[str, float]]) -> None:
    """Raises ValueError where a check of metrics.csv has a number that no check measures."""
    for row in rows:
        for name, value in row.items():
            if name.startswith("check/") and math.isfinite(value):
                _check_number(value, name)


def _is_number(kind: pyarrow.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_boolean, types.is_null))


def _check_cell(value: Any, key: str, place: str) -> None:
    # The exponential of a mean that is in range itself.
    largest = math.inf if key.removesuffix("_ci") in [metric.key for metric, _ in metrics_from(OfMean)] else LARGEST
    if isinstance(value, list) and key.endswith("_ci"):
        if len(value) != 2:
            raise ValueError(f"{place} is no interval")
        for bound in value:
            _check_number(bound, place, largest)
    elif "note" in key:
        _check_text(value, place)
    else:
        _check_number(value, place, largest)


def _check_number(value: Any, place: str, largest: float = LARGEST) -> None:
    if not isinstance(value, int | float | None) or (value is not None and not abs(value) <= largest):
        raise ValueError(f"{place} is {str(value)[:40]!r}, which is no such number")


def _check_text(value: Any, place: str) -> None:
    if not isinstance(value, str | None):
        raise ValueError(f"{place} is {str(value)[:40]!r}, which is no text")


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {str(value)[:40]!r}, which is no object")
    return value


def _group(value: Any, place: str) -> Mapping[str, Any]:
    """The same, where null stands for an empty one."""
    return {} if value is None else _mapping(value, place)
