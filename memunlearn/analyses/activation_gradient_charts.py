"""What the analysis of activation gradients says and draws, from its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memunlearn.analyses.activation_gradient_tables import SIGNIFICANT, Columns, Groups, Tested, of_components
from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, Chart, Heat, Lines, Series
from memunlearn.localization.activation_gradients import component_cells
from memunlearn.localization.activations import Cell
from memunlearn.models.architectures import KINDS
from memunlearn.statistics.intervals import FEWEST_CLUSTERS

COLOURS = {"memorized": MEMORIZED, "non-memorized": NON_MEMORIZED}
SHARE = "% of the gradient"


def sentences(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    """Most important first."""
    said = [_comparison(numbers)]
    for key, where in (("lower_half_share", _lower_half(numbers)), ("prefix_share", "at prefix positions")):
        parts = [f"{_with_interval(group[key])} for {label} text" for label, group in numbers["groups"].items()]
        said.append(f"The share of a paragraph's activation gradient {where} is {' and '.join(parts)}.")
    said += [_distance(numbers)]
    return tuple(sentence for sentence in said if sentence)


def _lower_half(numbers: Mapping[str, Any]) -> str:
    count = numbers["layers_in_lower_half"]
    return "in layer 0" if count == 1 else f"in the lower half of the layers (0 to {count - 1})"


def _comparison(numbers: Mapping[str, Any]) -> str:
    best = numbers["tests"]["heads"]
    if best is None:
        return f"Memorized and non-memorized text cannot be compared: that takes {FEWEST_CLUSTERS} clusters of each."
    cell = _name(best["layer"], best["component"], best["head"])
    shares = (
        f"{_percent(best['share']['memorized'])} of a paragraph's gradient against "
        f"{_percent(best['share']['non-memorized'])}, p {_p(best['p'])} corrected for {best['cells']} cells"
    )
    if best["t"] <= 0:
        return "In no layer, component or head is the memorized share of the gradient above the non-memorized one."
    if best["p"] >= SIGNIFICANT:
        return (
            "In no layer, component or head does the memorized share of the gradient exceed the non-memorized one beyond "
            f"chance: nearest to it is {cell} ({shares})."
        )
    return (
        f"Memorized text has more of its gradient than non-memorized text in {best['exceeding']} of {best['cells']} cells, "
        f"most clearly in {cell} ({shares}), and less in {best['below']}."
    )


def _distance(numbers: Mapping[str, Any]) -> str:
    best = numbers["largest_distance"]
    if best is None:
        return ""
    interval = "" if best["low"] is None else f" (95 % interval {best['low']:.2f} to {best['high']:.2f})"
    rows = "1 pair" if best["rows"] == 1 else f"{best['rows']} pairs"
    return (
        f"The gradients of a paragraph and its perturbed twin differ most in {_name(best['layer'], best['component'], None)}: "
        f"mean cosine distance {best['distance']:.2f}{interval}, over {rows}."
    )


def all_charts(
    groups: Groups,
    tested: Mapping[str, Tested],
    positions: Columns,
    twins: Columns,
    prefix_length: int,
    numbers: dict[str, Any],
) -> tuple[Chart, ...]:
    """Figures that the groups allow: comparisons only where there are two groups, twins only where there are any."""
    found = [_components(groups, numbers), _raw(groups, numbers)]
    if all(family.result is not None for family in tested.values()):
        found += [_difference(tested["components"]), _heads(tested["heads"], numbers)]
    found += [_positions(positions, prefix_length, numbers), _layers_by_position(groups, prefix_length)]
    if numbers["largest_distance"] is not None:
        found.append(_twins(twins, numbers))
    return tuple(found)


def _components(groups: Groups, numbers: Mapping[str, Any]) -> Chart:
    panels = []
    for label, group in groups.items():
        cells = component_cells(group.gradients.cells)[0]
        share = of_components(group.gradients.cells, group.gradients.share).mean(0)
        panels.append(_heat(f"{label}, {_counted(numbers['groups'][label])}", cells, (100 * share).tolist(), SHARE))
    parts = [f"{_with_interval(group['lower_half_share'])} for {label}" for label, group in numbers["groups"].items()]
    caption = f"The share of the activation gradient {_lower_half(numbers)} is {' and '.join(parts)} text."
    alt = "Heat maps, layers by components: the share of the activation gradient, for each group."
    return Chart("activation_gradients_shares", caption, alt, tuple(panels), shared=True)


def _raw(groups: Groups, numbers: Mapping[str, Any]) -> Chart:
    panels = []
    for label, group in groups.items():
        found = group.gradients
        cells, component = component_cells(found.cells)
        heads = component.bincount()[component]
        values = of_components(found.cells, found.magnitude / heads).mean(0)
        panels.append(
            _heat(f"{label}, {_counted(numbers['groups'][label])}", cells, values.tolist(), "nats per unit of activation")
        )
    means = " and ".join(f"{group['magnitude']:.2g} for {label} text" for label, group in numbers["groups"].items())
    caption = f"Mean absolute gradient of NLL by activation, not divided by the paragraph's total: {means} over all components."
    alt = "Heat maps, layers by components: the mean absolute activation gradient, for each group."
    return Chart("activation_gradients_raw", caption, alt, tuple(panels), shared=True)


def _difference(family: Tested) -> Chart:
    assert family.result is not None
    marked, heat = _compared(family.cells, family, "memorized minus non-memorized", "component")
    caption = (
        f"Difference of the shares; {marked} of {len(family.cells)} cells differ beyond chance (dots: p < {SIGNIFICANT}, "
        "max-T corrected over all of them, clusters permuted)."
    )
    alt = "Heat map, layers by components: memorized minus non-memorized share of the activation gradient."
    return Chart("activation_gradients_difference", caption, alt, (heat,), columns=1)


def _heads(family: Tested, numbers: Mapping[str, Any]) -> Chart:
    marked, panels = 0, []
    for kind in KINDS[:4]:
        cells = tuple(cell for cell in family.cells if cell.kind == kind)
        if cells:
            count, heat = _compared(cells, family, kind, "head")
            marked += count
            panels.append(heat)
    best = numbers["tests"]["heads"]
    caption = (
        f"Difference of the shares by attention head, memorized minus non-memorized: {marked} heads differ beyond chance "
        f"(dots: p < {SIGNIFICANT}, max-T corrected over {best['cells']} cells, MLPs among them, clusters permuted)."
    )
    alt = (
        "Heat maps of q, k, v and head output, layers by heads: memorized minus non-memorized share of the activation gradient."
    )
    return Chart("activation_gradients_heads", caption, alt, tuple(panels), shared=True)


def _compared(cells: Sequence[Cell], family: Tested, title: str, columns: str) -> tuple[int, Heat]:
    """(number of marked cells, their heat map) of some cells of the family."""
    assert family.result is not None
    at = [family.cells.index(cell) for cell in cells]
    difference, p = family.result.difference[at], family.result.p[at]
    significant = {cell for cell, value in zip(cells, p, strict=True) if value < SIGNIFICANT}
    values = [100 * float(d) if np.isfinite(d) else None for d in difference]
    return len(significant), _heat(title, cells, values, "percentage points", columns, significant)


def _heat(
    title: str,
    cells: Sequence[Cell],
    values: Sequence[float | None],
    unit: str,
    columns: str = "component",
    marked: Iterable[Cell] | None = None,
) -> Heat:
    """Layers by components, or by heads of one component; with `marked` diverging."""
    layers = sorted({cell.layer for cell in cells})
    names = {cell: cell.kind if cell.head is None else str(cell.head) for cell in cells}
    across = list(dict.fromkeys(names.values()))
    table: list[list[float | None]] = [[None] * len(across) for _ in layers]
    for cell, value in zip(cells, values, strict=True):
        table[layers.index(cell.layer)][across.index(names[cell])] = value
    return Heat(
        title=title,
        row_label="layer",
        column_label=columns,
        rows=[str(layer) for layer in layers],
        columns=across,
        values=table,
        unit=unit,
        diverging=marked is not None,
        marked=sorted((layers.index(cell.layer), across.index(names[cell])) for cell in marked or ()),
    )


def _positions(table: Columns, prefix_length: int, numbers: Mapping[str, Any]) -> Chart:
    series = []
    for label, colour in COLOURS.items():
        at = [i for i, name in enumerate(table["set"]) if name == label]
        if not at:
            continue
        position, share, low, high = (
            [table[name][i] if name == "position" or table[name][i] is None else 100 * table[name][i] for i in at]
            for name in ("position", "share", "low", "high")
        )
        known = any(value is not None for value in low)
        series.append(
            Series(
                _label(label, numbers), position, share, colour, low if known else None, high if known else None, marker="none"
            )
        )
    panel = Lines(f"prefix: 0 to {prefix_length - 1}; continuation: after", "token position", SHARE, tuple(series))
    parts = [f"{_with_interval(group['prefix_share'])} of the {label}" for label, group in numbers["groups"].items()]
    caption = (
        f"Of the activation gradient {' and '.join(parts)} lies at prefix positions (bands: 95 % intervals over clusters)."
    )
    alt = "Lines over token positions: the share of the activation gradient, for each group."
    return Chart("activation_gradients_positions", caption, alt, (panel,), columns=1)


def _layers_by_position(groups: Groups, prefix_length: int) -> Chart:
    panels, said = [], []
    for label, group in groups.items():
        by_layer = _by_layer(group.gradients.cells, group.gradients.share_by_position)
        peak = divmod(int(by_layer.argmax()), by_layer.shape[1])
        said.append(f"layer {peak[0]}, position {peak[1]} for {label} text")
        panels.append(
            Heat(
                title=label,
                row_label="layer",
                column_label="token position",
                rows=[str(layer) for layer in range(len(by_layer))],
                columns=[str(position) for position in range(by_layer.shape[1])],
                values=(100 * by_layer).tolist(),
                unit=SHARE,
            )
        )
    caption = (
        f"All components together, the gradient is largest at {' and at '.join(said)}; the prefix ends at {prefix_length - 1}."
    )
    alt = "Heat maps, layers by token positions: the share of the activation gradient, for each group."
    return Chart("activation_gradients_layers_positions", caption, alt, tuple(panels), columns=1, shared=True)


def _by_layer(cells: Sequence[Cell], values: Tensor) -> Tensor:
    """Sums over the cells of each layer: [cells, T] -> [L, T]."""
    layer = torch.tensor([cell.layer for cell in cells])
    return values.new_zeros(int(layer.max()) + 1, values.shape[1]).index_add_(0, layer, values)


def _twins(table: Columns, numbers: Mapping[str, Any]) -> Chart:
    cells = [Cell(layer, kind, None) for layer, kind in zip(table["layer"], table["component"], strict=True)]
    heat = _heat("paragraph and perturbed twin", cells, table["distance"], "cosine distance (0: same direction)")
    alt = "Heat map, layers by components: cosine distance between the gradients of a paragraph and of its perturbed twin."
    return Chart("activation_gradients_twins", _distance(numbers), alt, (heat,), columns=1)


def _name(layer: int, component: str, head: int | None) -> str:
    return f"layer {layer} {component}" + ("" if head is None else f" head {head}")


def _label(label: str, numbers: Mapping[str, Any]) -> str:
    return f"{label} ({_counted(numbers['groups'][label])})"


def _counted(group: Mapping[str, Any]) -> str:
    rows, clusters = group["rows"], group["clusters"]
    return f"{rows} row{'' if rows == 1 else 's'} in {clusters} cluster{'' if clusters == 1 else 's'}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.1f} %"


def _with_interval(numbers: Mapping[str, float]) -> str:
    if numbers["low"] is None:
        return _percent(numbers["mean"])
    return f"{_percent(numbers['mean'])} (95 % interval {_percent(numbers['low'])} to {_percent(numbers['high'])})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
