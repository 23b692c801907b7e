"""The mean effect of every cell, and the strongest one of each position and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from memunlearn.analyses.activation_patching.measure import Measured
from memunlearn.localization.activation_patching import DIRECTIONS, POSITIONS
from memunlearn.localization.labelled import Table, table_of
from memunlearn.statistics.estimates import Estimates, means_with_intervals

# Smaller effects are those of fp32, as where a cell cannot matter at a position.
ROUNDING = 1e-3
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Compared:
    """means: [directions, positions, cells], over the kept rows, with intervals over clusters; table: a row for each.

    strongest: by position and direction the row with the largest mean effect. outside: share of the effects of a single row and
    cell that are below 0 or above 1, and not by rounding only. counts: memorized paragraphs, those with a twin, the kept rows,
    and their clusters.
    """

    means: Estimates
    table: Table
    strongest: dict[str, dict[str, Row]]
    outside: float
    counts: dict[str, int]


def compare(measured: Measured, seed: int) -> Compared:
    effects, clusters = measured.kept_effects, measured.kept_clusters
    means = means_with_intervals(effects, clusters, seed)
    by_position = {
        name: getattr(means, key).swapaxes(0, 1) for name, key in (("effect", "value"), ("low", "low"), ("high", "high"))
    }
    labels = {"position": POSITIONS, "direction": DIRECTIONS, "cell": measured.effects.cells}
    table = table_of(labels, by_position)
    table["rows"] = [len(effects)] * len(table["effect"])
    return Compared(
        means,
        table,
        {position: {direction: _strongest(table, position, direction) for direction in DIRECTIONS} for position in POSITIONS},
        float(((effects < -ROUNDING) | (effects > 1 + ROUNDING)).mean()),
        {
            "memorized": len(measured.paragraphs),
            "with_twin": len(measured.twins),
            "rows": len(effects),
            "clusters": len(np.unique(clusters)),
        },
    )


def _strongest(table: Table, position: str, direction: str) -> Row:
    """The first of those that differ by rounding only."""
    rows = (dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True))
    here = (row for row in rows if (row["position"], row["direction"]) == (position, direction))
    return max(here, key=lambda row: round(row["effect"], 4))
