"""The figure of `activation_patching`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.analyses.activation_patching.compare import Compared
from memunlearn.analyses.panels import layers_by_components
from memunlearn.charts.description import Chart
from memunlearn.localization.activation_patching import DIRECTIONS, POSITIONS
from memunlearn.localization.labelled import Cell
from memunlearn.words import counted


def named(row: Mapping[str, Any]) -> str:
    return str(Cell(row["layer"], row["component"], row["head"]))


def charts(cells: Sequence[Cell], compared: Compared, per_head: bool) -> tuple[Chart, ...]:
    panels = [
        layers_by_components(
            f"{direction}, {position} token",
            cells,
            compared.means.value[i, j],
            "change of NLL over that of the whole perturbation",
            diverging=True,
        )
        for j, position in enumerate(POSITIONS)
        for i, direction in enumerate(DIRECTIONS)
    ]
    most = "; ".join(f"at the {at} token {named(best[DIRECTIONS[0]])} does most" for at, best in compared.strongest.items())
    rows = counted(compared.counts["rows"], "memorized paragraph")
    return (
        Chart(
            name="activation_patching",
            caption=f"Mean effect of patching one cell over {rows} in {counted(compared.counts['clusters'], 'cluster')} "
            "(0: nothing, 1: as much as the whole perturbation, below 0: the opposite): "
            f"{most} when the twin is patched into the original.",
            alt="Four heat maps, layers by components: patching the twin into the original and the original into the twin, at "
            "the intervention token and at the token that predicts the impact token.",
            panels=tuple(panels),
            columns=1 if per_head else 2,
            shared=True,
        ),
    )
