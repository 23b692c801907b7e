"""The figures of analysis=parameter_gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memunlearn.analyses.parameter_gradient_tables import LEVEL, BinRows, Comparison
from memunlearn.charts.description import Chart, Heat, Lines, Series
from memunlearn.localization.parameter_gradients import Cell, PooledGradients, shares
from memunlearn.models.architectures import KINDS


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def named(cell: Cell) -> str:
    return f"layer {cell.layer} {cell.kind}" + ("" if cell.head is None else f" head {cell.head}")


def charts(
    bins: Sequence[BinRows], comparison: Comparison | None, layer_rows: Sequence[Mapping[str, Any]], top_share: float
) -> tuple[Chart, ...]:
    made = [_raw(bins, top_share), _shares(bins), _layers(bins, layer_rows)]
    return tuple(made if comparison is None else [*made, _difference(comparison)])


def _by_kind(gradients: PooledGradients, values: np.ndarray) -> tuple[list[str], list[list[float | None]]]:
    """Kinds, and [L, kinds]: the mean over heads of one number a cell."""
    cells = gradients.cells
    kinds = [kind for kind in KINDS if any(cell.kind == kind for cell in cells)]

    def mean(layer: int, kind: str) -> float:
        return float(np.mean([values[i] for i, cell in enumerate(cells) if (cell.layer, cell.kind) == (layer, kind)]))

    return kinds, [[mean(layer, kind) for kind in kinds] for layer in gradients.layers]


def _heat(one: BinRows, values: np.ndarray, unit: str) -> Heat:
    kinds, table = _by_kind(one.gradients, values)
    rows = [str(layer) for layer in one.gradients.layers]
    return Heat(f"EM {one.label} (n = {len(one.gradients.total)})", "layer", "component", rows, kinds, table, unit)


def _strongest(one: BinRows, values: np.ndarray) -> str:
    return f"{named(one.gradients.cells[int(values.argmax())])} for EM {one.label}"


def _raw(bins: Sequence[BinRows], top_share: float) -> Chart:
    means = [one.gradients.top_mean.mean(0).numpy() for one in bins]
    strongest = "; ".join(_strongest(one, values) for one, values in zip(bins, means, strict=True))
    return Chart(
        name="parameter_gradients_bins",
        caption=f"Mean of the largest {percent(top_share)} of gradient magnitudes in each cell, mean over paragraphs (and over "
        f"heads); colour scales differ between panels; strongest cell: {strongest}.",
        alt="A heat map for each EM bin: layers by components, coloured by the size of the gradient.",
        panels=tuple(_heat(one, values, "|gradient|, nats per token") for one, values in zip(bins, means, strict=True)),
    )


def _shares(bins: Sequence[BinRows]) -> Chart:
    means = [100 * shares(one.gradients.top_mean).mean(0).numpy() for one in bins]
    strongest = "; ".join(f"{_strongest(one, values)} ({values.max():.3g} %)" for one, values in zip(bins, means, strict=True))
    return Chart(
        name="parameter_gradients_shares",
        caption=f"The same as shares of each paragraph's sum over all cells, so that the size of its loss does not matter "
        f"(colour: mean share of a cell); largest: {strongest}.",
        alt="A heat map for each EM bin: layers by components, coloured by the cell's share of the paragraph's gradient.",
        panels=tuple(_heat(one, values, "share of the gradient, %") for one, values in zip(bins, means, strict=True)),
        shared=True,
    )


def _layers(bins: Sequence[BinRows], layer_rows: Sequence[Mapping[str, Any]]) -> Chart:
    panels = []
    for name, title, unit, scale in (
        ("sum", "Sum of magnitudes", "nats per token", 1),
        ("sum_share", "Share of the paragraph's sum", "%", 100),
        ("variance", "Variance over the layer's weights", "(nats per token)²", 1),
    ):
        series = []
        for one in bins:
            rows = [row for row in layer_rows if row["bin"] == one.label]
            y, low, high = ([row[f"{name}{end}"] for row in rows] for end in ("", "_low", "_high"))
            has_interval = any(value is not None for value in low)
            # A log axis has no place for 0: an interval that reaches it is drawn down to a third of its mean.
            floors = [value / 3 if scale == 1 else 0.0 for value in y]
            lows = [None if end is None else scale * max(end, floor) for end, floor in zip(low, floors, strict=True)]
            highs = [None if end is None else scale * end for end in high]
            series.append(
                Series(
                    f"EM {one.label}",
                    [row["layer"] for row in rows],
                    [scale * value for value in y],
                    one.colour,
                    lows if has_interval else None,
                    highs if has_interval else None,
                )
            )
        panels.append(Lines(title, "layer", unit, tuple(series), log_y=scale == 1))
    return Chart(
        name="parameter_gradients_layers",
        caption=f"Gradients by layer, mean over the paragraphs of each EM bin (95 % intervals over clusters); {_peaks(bins)}.",
        alt="Three panels of lines over layers, a line for each EM bin: sum, share and variance of the gradient.",
        panels=tuple(panels),
        columns=3,
    )


def _peaks(bins: Sequence[BinRows]) -> str:
    peaks = []
    for one in bins:
        share = shares(one.gradients.layer_total()).mean(0)
        layer = int(share.argmax())
        peaks.append(f"{one.gradients.layers[layer]} for EM {one.label} ({percent(float(share[layer]))})")
    return f"the layer with the largest share is {', '.join(peaks)}"


def _difference(comparison: Comparison) -> Chart:
    attention = [kind for kind in KINDS if any(c.kind == kind and c.head is not None for c in comparison.cells)]
    mlp = [kind for kind in KINDS if any(c.kind == kind and c.head is None for c in comparison.cells)]
    panels = [_difference_panel(comparison, (kind,), f"{kind}, by head") for kind in attention]
    if mlp:
        panels.append(_difference_panel(comparison, tuple(mlp), "MLP"))
    more, less = comparison.significant()
    told = (
        "no test with so few clusters"
        if comparison.test is None
        else f"dots: p < {LEVEL}, corrected for all {len(comparison.cells)} cells by exchanging clusters "
        f"({len(more)} cells with more, {len(less)} with less)"
    )
    return Chart(
        name="parameter_gradients_difference",
        caption=f"Share of the gradient in each cell, memorized minus non-memorized, in percentage points; {told}.",
        alt="Heat maps of layers by heads for q, k, v and out, and of layers by MLP matrices: red where memorized paragraphs "
        "have more of their gradient, blue where they have less.",
        panels=tuple(panels),
        columns=3,
        shared=True,
    )


def _difference_panel(comparison: Comparison, kinds: tuple[str, ...], title: str) -> Heat:
    cells = [(i, cell) for i, cell in enumerate(comparison.cells) if cell.kind in kinds]
    layers = sorted({cell.layer for _, cell in cells})
    columns = sorted({_column(cell) for _, cell in cells}, key=lambda column: (column[0], column[1]))
    values: list[list[float | None]] = [[None] * len(columns) for _ in layers]
    marked = []
    for i, cell in cells:
        place = layers.index(cell.layer), columns.index(_column(cell))
        values[place[0]][place[1]] = 100 * float(comparison.difference[i])
        if comparison.test is not None and comparison.test.p[i] < LEVEL:
            marked.append(place)
    return Heat(
        title=title,
        row_label="layer",
        column_label="component" if cells[0][1].head is None else "head",
        rows=[str(layer) for layer in layers],
        columns=[label for _, _, label in columns],
        values=values,
        unit="difference of shares, percentage points",
        diverging=True,
        marked=marked,
    )


def _column(cell: Cell) -> tuple[int, int, str]:
    if cell.head is None:
        return KINDS.index(cell.kind), -1, cell.kind
    return 0, cell.head, str(cell.head)
