"""Panels that several analyses draw: heat maps, and the bands of intervals."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, Heat, Value
from memunlearn.localization.labelled import Cell
from memunlearn.models.architectures import KINDS
from memunlearn.statistics.estimates import numbers_or_none

COLOURS = {"memorized": MEMORIZED, "non-memorized": NON_MEMORIZED}


def heat_map(
    title: str,
    values: ArrayLike,
    unit: str,
    *,
    row_label: str = "layer",
    column_label: str = "head",
    rows: Sequence[object] | None = None,
    columns: Sequence[object] | None = None,
    diverging: bool = False,
    marked: Sequence[tuple[int, int]] = (),
) -> Heat:
    """values: [rows, columns], NaN where there is nothing; without labels, rows and columns are numbered from 0."""
    table = np.asarray(values, dtype=np.float64)
    row_names = [str(label) for label in (range(table.shape[0]) if rows is None else rows)]
    column_names = [str(label) for label in (range(table.shape[1]) if columns is None else columns)]
    return Heat(
        title=title,
        row_label=row_label,
        column_label=column_label,
        rows=row_names,
        columns=column_names,
        values=numbers_or_none(table),
        unit=unit,
        diverging=diverging,
        marked=list(marked),
    )


def layers_by_components(
    title: str,
    cells: Sequence[Cell],
    values: ArrayLike,
    unit: str,
    *,
    diverging: bool = False,
    marked: Collection[Cell] = (),
) -> Heat:
    """values: [cells], NaN where there is nothing. Columns: components, heads of one component, or heads of several."""
    layers = sorted({cell.layer for cell in cells})
    across = sorted({(KINDS.index(cell.kind), -1 if cell.head is None else cell.head) for cell in cells})
    place = {
        cell: (layers.index(cell.layer), across.index((KINDS.index(cell.kind), -1 if cell.head is None else cell.head)))
        for cell in cells
    }
    table = np.full((len(layers), len(across)), np.nan)
    for cell, value in zip(cells, np.asarray(values, dtype=np.float64), strict=True):
        table[place[cell]] = value
    has_heads, one_kind = any(cell.head is not None for cell in cells), len({kind for kind, _ in across}) == 1
    return heat_map(
        title,
        table,
        unit,
        column_label="component" if not has_heads else "head" if one_kind else "component and head",
        rows=layers,
        columns=[KINDS[kind] if head < 0 else str(head) if one_kind else f"{KINDS[kind]} {head}" for kind, head in across],
        diverging=diverging,
        marked=sorted(place[cell] for cell in marked),
    )


def band(values: Sequence[Value], scale: float = 1.0, floors: Sequence[float] | None = None) -> list[Value] | None:
    """One end of the intervals of a series, or None where no point has one. floors: what each is drawn down to at most."""
    if all(value is None for value in values):
        return None
    least = [-np.inf] * len(values) if floors is None else floors
    return [None if value is None else scale * max(value, floor) for value, floor in zip(values, least, strict=True)]
