"""The one kind of result that measurements have: numbers with named axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memunlearn.statistics.estimates import numbers_or_none

Table = dict[str, list[Any]]
"""Columns of equal length by name."""


@dataclass(frozen=True)
class Cell:
    """A component of one layer, or one head of it. kind: one of KINDS. head: None where the whole component is meant (MLPs have
    no heads); for grouped k and v the kv head.
    """

    layer: int
    kind: str
    head: int | None

    @property
    def component(self) -> Cell:
        """The component that it is part of."""
        return replace(self, head=None)

    def __str__(self) -> str:
        return f"layer {self.layer} {self.kind}" + ("" if self.head is None else f" head {self.head}")


@dataclass(frozen=True, eq=False)
class Labelled:
    """labels: by dim (such as `row`, `direction`, `position`, `cell`) a label a place. values: by name its dims and numbers.

    The numbers are [*lengths of the dims], on the CPU. Raises ValueError where they are not.
    """

    labels: Mapping[str, Sequence[Any]]
    values: Mapping[str, tuple[tuple[str, ...], Tensor]]

    def __post_init__(self) -> None:
        for name, (dims, numbers) in self.values.items():
            lengths = tuple(len(self.labels[dim]) for dim in dims)
            if numbers.shape != lengths:
                raise ValueError(f"{name} must be {lengths} over {dims}, not {tuple(numbers.shape)}")

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name][1]

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(self.labels["cell"])

    @property
    def rows(self) -> int:
        """How many rows were measured."""
        return len(self.labels["row"])

    def select(self, rows: Tensor) -> Labelled:
        """These rows: positions [n] int64, in this order, or [N] bool."""
        places = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        values = {
            name: (dims, numbers.index_select(dims.index("row"), places) if "row" in dims else numbers)
            for name, (dims, numbers) in self.values.items()
        }
        return Labelled({**self.labels, "row": [self.labels["row"][place] for place in places.tolist()]}, values)


def table_of(labels: Mapping[str, Sequence[Any]], values: Mapping[str, Any], **same: Any) -> Table:
    """A row for each combination of labels, by dim, the last one fastest. values: by name [*lengths], or what
    can be broadcast to it; None for what is not finite.

    A dim is a column, a cell three: `layer`, `component`, `head`. same: columns in front that hold one value throughout.
    """
    shape = tuple(map(len, labels.values()))
    columns: Table = {name: [value] * int(np.prod(shape)) for name, value in same.items()}
    for (dim, along), places in zip(labels.items(), np.indices(shape).reshape(len(shape), -1).tolist(), strict=True):
        if dim == "cell":
            for column, attribute in (("layer", "layer"), ("component", "kind"), ("head", "head")):
                columns[column] = [getattr(along[place], attribute) for place in places]
        else:
            columns[dim] = [along[place] for place in places]
    for name, numbers in values.items():
        array = np.asarray(numbers, dtype=np.float64 if isinstance(numbers, list) else None)
        flat = np.broadcast_to(array, shape).flatten()
        columns[name] = numbers_or_none(flat) if flat.dtype.kind == "f" else flat.tolist()
    return columns


def stacked(tables: Sequence[Table]) -> Table:
    """One table under the other; all have the same columns."""
    return {name: [value for table in tables for value in table[name]] for name in tables[0]}


def columns_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows with the same keys, at least one, as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}
